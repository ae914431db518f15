// SPDX-License-Identifier: Apache-2.0

// Package printable keeps what others wrote (a device, a repository, a list of
// names) from giving orders to a terminal, and from breaking a line.
package printable

import (
	"strings"
	"unicode"
)

// Text returns s with a blank for every kind of space and U+FFFD for what is not
// for people to see.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
