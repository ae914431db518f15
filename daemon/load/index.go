// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// What an index of kmod begins with, and the flags of a node's offset
// (kmod: libkmod/libkmod-index.h).
const (
	indexMagic   = 0xB007F457
	indexVersion = 2<<16 | 1
	hasPrefix    = 0x80000000
	hasValues    = 0x40000000
	hasChildren  = 0x20000000
)

// entry is one of an index: of several values that a key, or a name that matches several
// keys, leads to, those with the lowest rank come first.
type entry struct {
	key, value string
	rank       uint32
}

// encodeIndex returns an index of entries as kmod reads it: a trie over the bytes of the
// keys.
func encodeIndex(entries []entry) []byte {
	entries = slices.SortedStableFunc(slices.Values(entries), func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	b := make([]byte, 0, 4096)
	for _, n := range []uint32{indexMagic, indexVersion, 0} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	if len(entries) > 0 {
		var root uint32
		b, root = appendNode(b, entries, 0)
		binary.BigEndian.PutUint32(b[8:], root)
	}
	return b
}

// appendNode appends the node of sorted entries, whose keys have so many bytes in common,
// behind those below it, and returns its offset.
func appendNode(b []byte, entries []entry, depth int) ([]byte, uint32) {
	first, last := entries[0].key[depth:], entries[len(entries)-1].key[depth:]
	common := 0
	for common < len(first) && common < len(last) && first[common] == last[common] {
		common++
	}
	prefix, depth := first[:common], depth+common
	values := slices.IndexFunc(entries, func(e entry) bool { return len(e.key) > depth })
	if values < 0 {
		values = len(entries)
	}
	var children [256]uint32
	for rest := entries[values:]; len(rest) > 0; {
		c := rest[0].key[depth]
		n := 1
		for n < len(rest) && rest[n].key[depth] == c {
			n++
		}
		b, children[c] = appendNode(b, rest[:n], depth+1)
		rest = rest[n:]
	}
	offset := uint32(len(b))
	if prefix != "" {
		offset |= hasPrefix
		b = append(append(b, prefix...), 0)
	}
	if values < len(entries) {
		offset |= hasChildren
		from, to := entries[values].key[depth], entries[len(entries)-1].key[depth]
		b = append(b, from, to)
		for c := int(from); c <= int(to); c++ {
			b = binary.BigEndian.AppendUint32(b, children[c])
		}
	}
	if values > 0 {
		offset |= hasValues
		b = binary.BigEndian.AppendUint32(b, uint32(values))
		for _, e := range entries[:values] {
			b = binary.BigEndian.AppendUint32(b, e.rank)
			b = append(append(b, e.value...), 0)
		}
	}
	return b, offset
}
