// SPDX-License-Identifier: Apache-2.0

package modalias

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"
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

	// The longest literal behind the key: every name that the pattern matches has
	// it there. To look for it costs a fraction of a Match, and is in vain for
	// nearly all of the patterns that name a class and no product.
	literal, literalLength uint8
}

// Add adds a pattern with a value of the caller's choice, say the index of a
// module's name. Any string is a pattern; a senseless one just never matches.
func (b *Builder) Add(pattern string, value int) {
	key := min(len(literalPrefix(pattern)), prefixCap)
	literal, length := longestLiteral(pattern[key:min(len(pattern), math.MaxUint8)])
	if length < worthSeeking {
		length = 0
	}
	b.entries = append(b.entries, entry{
		from: uint32(len(b.text)), length: uint32(len(pattern)),
		order: uint32(len(b.entries)), value: int32(value),
		key:     uint8(key),
		literal: uint8(key + literal), literalLength: uint8(length),
	})
	b.text = append(b.text, pattern...)
}

// worthSeeking is the least length of a literal: "sd" and the like are in every
// name.
const worthSeeking = 3

// longestLiteral returns where the longest literal of the pattern is. What
// follows a class or an escape is not looked at: it is no matter of a pattern
// for PCI devices.
func longestLiteral(pattern string) (at, length int) {
	for i := 0; i <= len(pattern); i++ {
		n := strings.IndexAny(pattern[i:], metacharacters)
		if n < 0 {
			n = len(pattern) - i
		}
		if n > length {
			at, length = i, n
		}
		if i += n; i < len(pattern) && (pattern[i] == '[' || pattern[i] == '\\') {
			break
		}
	}
	return at, length
}

// Build makes the table of what was added so far. The builder may go on.
func (b *Builder) Build() *Table {
	t := &Table{text: string(b.text), entries: slices.Clone(b.entries)}
	slices.SortFunc(t.entries, func(x, y entry) int {
		if c := cmp.Compare(x.key, y.key); c != 0 {
			return c
		}
		if c := strings.Compare(t.key(x), t.key(y)); c != 0 {
			return c
		}
		return cmp.Compare(x.order, y.order)
	})
	for i, e := range t.entries {
		t.ends[e.key] = i + 1
	}
	return t
}

// Table finds the patterns that match a name. It is immutable, so it may be
// used by many goroutines. The zero Table is empty.
//
// What a name has to begin with for a pattern to be worth a try is the
// pattern's key, and patterns of one key are a bucket. A lookup costs one
// binary search for each length of a key that occurs, and a Match for what
// follows the key of each pattern in the few buckets hit.
type Table struct {
	text    string
	entries []entry            // sorted by length of the key, key, and order
	ends    [prefixCap + 1]int // of the entries with a key of that length; 0 if there is none
}

func (t *Table) pattern(e entry) string { return t.text[e.from:][:e.length] }

func (t *Table) literal(e entry) string { return t.text[e.from+uint32(e.literal):][:e.literalLength] }

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
	from := 0
	for n, to := range t.ends[:min(len(name), prefixCap)+1] {
		if to == 0 {
			continue
		}
		for i := from + t.search(t.entries[from:to], name[:n]); i < to && t.key(t.entries[i]) == name[:n]; i++ {
			e := t.entries[i]
			if anyOfProduct {
				if mayMatch(t.pattern(e), name) {
					dst = append(dst, i)
				}
			} else if strings.Contains(name[n:], t.literal(e)) && Match(t.pattern(e)[n:], name[n:]) {
				dst = append(dst, i)
			}
		}
		from = to
	}
	return dst
}

// search returns where the entries with this key begin, or would.
func (t *Table) search(entries []entry, key string) int {
	return sort.Search(len(entries), func(i int) bool { return t.key(entries[i]) >= key })
}

func (t *Table) compareOrder(i, j int) int {
	return cmp.Compare(t.entries[i].order, t.entries[j].order)
}
