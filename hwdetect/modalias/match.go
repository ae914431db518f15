// SPDX-License-Identifier: Apache-2.0

package modalias

import "strings"

// metacharacters are the bytes that stand for something else in a pattern.
const metacharacters = `*?[\`

// Match says whether an alias pattern matches a modalias, as libkmod decides it:
// fnmatch(3) of the GNU C library with no flags, in the C locale. It works on
// bytes. Neither '/' nor a leading '.' is special, and a NUL, which C strings
// cannot hold, is a byte like any other.
//
// It agrees with the C function on malformed patterns too (see bracket), up to
// its limit on the length of a class name, 2048 bytes, which is not kept here.
// Only the last star is ever tried again, since a longer match of an earlier
// one cannot help: at most len(name)² bytes are compared, each with at most one
// element of the pattern.
func Match(pattern, name string) bool {
	p, n := 0, 0
	star, retry := -1, 0 // behind the last star; the name where that star ends
	for {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			if n = seek(pattern[p:], name, n); n < 0 {
				return false
			}
			star, retry = p, n
			continue
		case p == len(pattern):
			if n == len(name) || star == p {
				return true
			}
		case n < len(name):
			if next, ok := matchByte(pattern, p, name[n]); ok {
				p, n = next, n+1
				continue
			}
		}
		if star < 0 || retry == len(name) {
			return false
		}
		if retry = seek(pattern[star:], name, retry+1); retry < 0 {
			return false
		}
		p, n = star, retry
	}
}

// seek returns where in name, from a place on, what follows a star may begin, -1
// if nowhere: a byte is found much faster than it is matched.
func seek(rest, name string, from int) int {
	if rest == "" || strings.IndexByte(metacharacters, rest[0]) >= 0 {
		return from
	}
	i := strings.IndexByte(name[from:], rest[0])
	if i < 0 {
		return -1
	}
	return from + i
}

// matchByte matches c against the one-byte element at pattern[p], which is not
// a star, and returns where the next element starts.
func matchByte(pattern string, p int, c byte) (next int, ok bool) {
	switch pattern[p] {
	case '?':
		return p + 1, true
	case '[':
		return bracket(pattern, p, c)
	case '\\':
		p++
		if p == len(pattern) {
			return p, false
		}
	}
	return p + 1, pattern[p] == c
}

// literalPrefix returns the bytes of pattern that every match begins with, as
// far as they are written plainly.
func literalPrefix(pattern string) string {
	if i := strings.IndexAny(pattern, metacharacters); i >= 0 {
		return pattern[:i]
	}
	return pattern
}
