// SPDX-License-Identifier: Apache-2.0

package modalias

import "strings"

// bracket matches c against the bracket expression that opens at pattern[open],
// and returns where the next element starts.
//
// POSIX leaves malformed expressions undefined. What the GNU C library makes of
// them is kept here, because that is what libkmod does (versions 2.36 and 2.43
// agree):
//   - an expression that never closes is a plain '[', unless it breaks off within
//     a range, an escape, an equivalence class or a collating symbol: nothing
//     matches that;
//   - nothing matches, negated or not, once an unknown class name or a collating
//     symbol of other than one byte is met; behind a member that is c, they are
//     skipped unread;
//   - "[=" that does not go on as "[=x=]" is two plain bytes; behind a member
//     that is c, nothing matches.
//
// In the C locale an equivalence class and a collating symbol are the one byte
// that they name.
func bracket(pattern string, open int, c byte) (next int, ok bool) {
	p := open + 1
	negated := p < len(pattern) && (pattern[p] == '!' || pattern[p] == '^')
	if negated {
		p++
	}
	for first := true; p < len(pattern); first = false {
		if pattern[p] == ']' && !first {
			return p + 1, negated
		}
		m, ok := parseMember(pattern, p)
		if !ok {
			return 0, false
		}
		if m.has(c) {
			end, closes, ok := closing(pattern, m.end)
			if ok && !closes {
				break
			}
			return end, ok && !negated
		}
		p = m.end
	}
	return open + 1, c == '['
}

// member is one member of a bracket expression: a range of bytes or a class.
type member struct {
	low, high byte // none if low is above high
	class     string
	end       int // in the pattern
}

func (m member) has(c byte) bool {
	if m.class != "" {
		in, _ := classHas(m.class, c)
		return in
	}
	return m.low <= c && c <= m.high
}

// parseMember reads the member at pattern[p]. It is not ok if nothing can match
// an expression that holds this.
func parseMember(pattern string, p int) (m member, ok bool) {
	rest := pattern[p:]
	switch {
	case strings.HasPrefix(rest, "[:"):
		name, isClass := className(rest[2:])
		if !isClass {
			break
		}
		_, known := classHas(name, 0)
		return member{class: name, end: p + len("[:") + len(name) + len(":]")}, known
	case len(rest) >= len("[=x=]") && rest[:2] == "[=" && rest[3:5] == "=]":
		return member{low: rest[2], high: rest[2], end: p + len("[=x=]")}, true
	}

	low, p, ok := rangeEnd(pattern, p)
	if !ok {
		return member{}, false
	}
	if p == len(pattern) || pattern[p] != '-' {
		return member{low: low, high: low, end: p}, true
	}
	switch {
	case p+1 == len(pattern):
		return member{}, false
	case pattern[p+1] == ']':
		// The '-' is a member of its own. The C library takes a collating
		// symbol before it for the start of a range all the same, and forgets it.
		if strings.HasPrefix(rest, "[.") {
			return member{low: 1, high: 0, end: p}, true
		}
		return member{low: low, high: low, end: p}, true
	}
	high, p, ok := rangeEnd(pattern, p+1)
	return member{low: low, high: high, end: p}, ok
}

// rangeEnd reads one end of a range, or a byte alone: plain, escaped, or as a
// collating symbol.
func rangeEnd(pattern string, p int) (c byte, next int, ok bool) {
	rest := pattern[p:]
	switch {
	case strings.HasPrefix(rest, "[."):
		if strings.Index(rest[2:], ".]") != 1 {
			return 0, 0, false
		}
		return rest[2], p + len("[.x.]"), true
	case rest[0] == '\\':
		if len(rest) < 2 {
			return 0, 0, false
		}
		return rest[1], p + 2, true
	}
	return rest[0], p + 1, true
}

// closing returns where the expression ends that goes on at pattern[p], if it
// closes at all. It is not ok if nothing can match it.
func closing(pattern string, p int) (end int, closes, ok bool) {
	for p < len(pattern) {
		rest := pattern[p:]
		switch {
		case rest[0] == ']':
			return p + 1, true, true
		case rest[0] == '\\':
			if len(rest) < 2 {
				return 0, false, false
			}
			p += 2
			continue
		case strings.HasPrefix(rest, "[:"):
			if name, isClass := className(rest[2:]); isClass {
				p += len("[:") + len(name) + len(":]")
				continue
			}
		case strings.HasPrefix(rest, "[="):
			if len(rest) < len("[=x=]") || rest[3:5] != "=]" {
				return 0, false, false
			}
			p += len("[=x=]")
			continue
		case strings.HasPrefix(rest, "[."):
			n := strings.Index(rest[2:], ".]")
			if n < 0 {
				return 0, false, false
			}
			p += len("[.") + n + len(".]")
			continue
		}
		p++
	}
	return 0, false, true
}

// className reads what may be the name of a class, up to its ":]". The C
// library takes the letters a to y for one: no class has a z.
func className(s string) (name string, ok bool) {
	for i := range len(s) {
		if strings.HasPrefix(s[i:], ":]") {
			return s[:i], true
		}
		if s[i] < 'a' || s[i] >= 'z' {
			break
		}
	}
	return "", false
}

// classHas says whether c is in the class of this name in the C locale, and
// whether there is such a class.
func classHas(name string, c byte) (in, known bool) {
	lower := 'a' <= c && c <= 'z'
	upper := 'A' <= c && c <= 'Z'
	digit := '0' <= c && c <= '9'
	graph := '!' <= c && c <= '~'
	alnum := lower || upper || digit
	switch name {
	case "alnum":
		return alnum, true
	case "alpha":
		return lower || upper, true
	case "blank":
		return c == ' ' || c == '\t', true
	case "cntrl":
		return c < ' ' || c == 0x7F, true
	case "digit":
		return digit, true
	case "graph":
		return graph, true
	case "lower":
		return lower, true
	case "print":
		return graph || c == ' ', true
	case "punct":
		return graph && !alnum, true
	case "space":
		return c == ' ' || '\t' <= c && c <= '\r', true
	case "upper":
		return upper, true
	case "xdigit":
		return digit || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F', true
	}
	return false, false
}
