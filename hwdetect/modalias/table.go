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
	entries []entry
}

// entry is one pattern of a table.
type entry struct {
	pattern string
	value   int // the caller's
	order   int // in which it was added
}

// Add adds a pattern with a value of the caller's choice, say the index of a
// module's name. Any string is a pattern; a senseless one just never matches.
func (b *Builder) Add(pattern string, value int) {
	b.entries = append(b.entries, entry{pattern, value, len(b.entries)})
}

// Build makes the table of what was added so far. The builder may go on.
func (b *Builder) Build() *Table {
	t := &Table{entries: slices.Clone(b.entries), buckets: make(map[string]bucket)}
	slices.SortStableFunc(t.entries, func(x, y entry) int {
		return cmp.Compare(bucketKey(x.pattern), bucketKey(y.pattern))
	})
	for i, e := range t.entries {
		key := bucketKey(e.pattern)
		k, ok := t.buckets[key]
		if !ok {
			k.from = i
			t.keyLengths[len(key)] = true
		}
		k.to = i + 1
		t.buckets[key] = k
	}
	return t
}

// bucketKey is what a name has to begin with for pattern to be worth a try.
func bucketKey(pattern string) string {
	prefix := literalPrefix(pattern)
	return prefix[:min(len(prefix), prefixCap)]
}

// bucket is the run of entries that share a key.
type bucket struct{ from, to int }

// Table finds the patterns that match a name. It is immutable, so it may be
// used by many goroutines. The zero Table is empty.
//
// A lookup costs one map probe for each length of literal prefix that occurs,
// and a Match for each pattern in the few buckets hit.
type Table struct {
	entries    []entry // sorted by key, then by order
	buckets    map[string]bucket
	keyLengths [prefixCap + 1]bool
}

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
		found[k] = t.entries[i].value
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
		claims = append(claims, Claim{t.entries[i].pattern, t.entries[i].value})
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
		b := t.buckets[name[:n]]
		for i := b.from; i < b.to; i++ {
			if Match(t.entries[i].pattern, name) || anyOfProduct && n == prefixCap {
				dst = append(dst, i)
			}
		}
	}
	return dst
}

func (t *Table) compareOrder(i, j int) int {
	return cmp.Compare(t.entries[i].order, t.entries[j].order)
}
