// SPDX-License-Identifier: Apache-2.0

package modalias

import (
	"cmp"
	"slices"
)

// prefixCap is the length of "pci:v00008086d000010C9sv": vendor and product,
// which all but a few of a kernel's PCI patterns spell out.
const prefixCap = len("pci:v00008086d000010C9sv")

// Builder collects alias patterns for a Table. The zero Builder is ready.
type Builder struct {
	text    []byte // of all patterns
	entries []entry
}

// entry is one pattern of a table: thousands of them are kept for good.
type entry struct {
	from, length uint32 // where the pattern is in the text
	order        uint32 // in which it was added
	value        int32  // the caller's
	key          uint8  // length of its bucket's key
}

// Add adds a pattern with a value of the caller's choice, say the index of a
// module's name. Any string is a pattern; a senseless one just never matches.
func (b *Builder) Add(pattern string, value int) {
	b.entries = append(b.entries, entry{
		from: uint32(len(b.text)), length: uint32(len(pattern)),
		order: uint32(len(b.entries)), value: int32(value),
		key: uint8(min(len(literalPrefix(pattern)), prefixCap)),
	})
	b.text = append(b.text, pattern...)
}

// Build makes the table of what was added so far. The builder may go on.
func (b *Builder) Build() *Table {
	t := &Table{text: string(b.text), entries: slices.Clone(b.entries)}
	slices.SortFunc(t.entries, func(x, y entry) int {
		return cmp.Or(cmp.Compare(t.key(x), t.key(y)), cmp.Compare(x.order, y.order))
	})
	for _, e := range t.entries {
		t.keyLengths[e.key] = true
	}
	return t
}

// Table finds the patterns that match a name. It is immutable, so it may be
// used by many goroutines. The zero Table is empty.
//
// What a name has to begin with for a pattern to be worth a try is the
// pattern's key, and patterns of one key are a bucket. A lookup costs one
// binary search for each length of a key that occurs, and a Match for each
// pattern in the few buckets hit.
type Table struct {
	text       string
	entries    []entry // sorted by key, then by order
	keyLengths [prefixCap + 1]bool
}

func (t *Table) pattern(e entry) string { return t.text[e.from:][:e.length] }

func (t *Table) key(e entry) string { return t.text[e.from:][:e.key] }

// AppendMatches appends to dst the values of the patterns that match name: each
// value once, in the order in which their first matching patterns were added.
// The name may be what Any returns.
// It allocates only what dst lacks in capacity.
func (t *Table) AppendMatches(dst []int, name string) []int {
	start := len(dst)
	dst = t.appendIndexes(dst, name)
	found := dst[start:]
	slices.SortFunc(found, func(i, j int) int {
		return cmp.Or(cmp.Compare(t.entries[i].value, t.entries[j].value), t.compareOrder(i, j))
	})
	found = slices.CompactFunc(found, func(i, j int) bool { return t.entries[i].value == t.entries[j].value })
	slices.SortFunc(found, t.compareOrder)
	for k, i := range found {
		found[k] = int(t.entries[i].value)
	}
	return dst[:start+len(found)]
}

// Claim is a pattern that matches, with the value that it was added with.
type Claim struct {
	Pattern string
	Value   int
}

// Claims returns every pattern that matches name, in the order in which they
// were added.
func (t *Table) Claims(name string) []Claim {
	found := t.appendIndexes(nil, name)
	slices.SortFunc(found, t.compareOrder)
	var claims []Claim
	for _, i := range found {
		claims = append(claims, Claim{t.pattern(t.entries[i]), int(t.entries[i].value)})
	}
	return claims
}

// appendIndexes appends to dst the indexes of the entries that match name.
func (t *Table) appendIndexes(dst []int, name string) []int {
	anyOfProduct := IsAny(name)
	for n, occurs := range t.keyLengths[:min(len(name), prefixCap)+1] {
		if !occurs {
			continue
		}
		i, _ := slices.BinarySearchFunc(t.entries, name[:n], func(e entry, key string) int { return cmp.Compare(t.key(e), key) })
		for ; i < len(t.entries) && t.key(t.entries[i]) == name[:n]; i++ {
			if Match(t.pattern(t.entries[i]), name) || anyOfProduct && n == prefixCap {
				dst = append(dst, i)
			}
		}
	}
	return dst
}

func (t *Table) compareOrder(i, j int) int {
	return cmp.Compare(t.entries[i].order, t.entries[j].order)
}
