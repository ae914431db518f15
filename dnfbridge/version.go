// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"cmp"
	"strings"
)

// compareVersions compares versions as rpm does (rpm: rpmvercmp in rpmio/rpmvercmp.cc).
func compareVersions(a, b string) int {
	isDigit := func(c byte) bool { return c >= '0' && c <= '9' }
	isLetter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	trim := func(s string) string {
		return strings.TrimLeftFunc(s, func(r rune) bool {
			return r > 127 || r != '~' && r != '^' && !isDigit(byte(r)) && !isLetter(byte(r))
		})
	}
	run := func(s string, of func(byte) bool) int {
		n := 0
		for n < len(s) && of(s[n]) {
			n++
		}
		return n
	}
	for {
		a, b = trim(a), trim(b)
		for _, mark := range []struct {
			text string
			more int
		}{{"~", -1}, {"^", 1}} {
			switch x, y := strings.HasPrefix(a, mark.text), strings.HasPrefix(b, mark.text); {
			case x && y:
				return compareVersions(a[1:], b[1:])
			case mark.text == "^" && x && b == "", mark.text == "~" && x:
				return mark.more
			case mark.text == "^" && y && a == "", mark.text == "~" && y:
				return -mark.more
			case x:
				return -1
			case y:
				return 1
			}
		}
		if a == "" || b == "" {
			return cmp.Compare(len(a), len(b))
		}
		of := isLetter
		if isDigit(a[0]) {
			of = isDigit
		}
		n, m := run(a, of), run(b, of)
		if m == 0 { // a number is newer than a word
			if isDigit(a[0]) {
				return 1
			}
			return -1
		}
		x, y := a[:n], b[:m]
		if isDigit(x[0]) {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if c := cmp.Compare(len(x), len(y)); c != 0 {
				return c
			}
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[n:], b[m:]
	}
}
