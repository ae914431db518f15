// SPDX-License-Identifier: Apache-2.0

// Package printable keeps what others wrote (a device, a repository, a list of
// names) from giving orders to a terminal, and from breaking a line.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Columns is how wide text for people is where nobody says how wide: that of a serial
// console.
const Columns = 80

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

// Wrap breaks text into lines that fit behind an indent into so many columns. A word
// that is too long for a line gets one of its own. With 0 columns there is one line.
func Wrap(text string, indent, columns int) []string {
	var lines []string
	var line string
	for _, word := range strings.Fields(Text(text)) {
		if line != "" && columns > 0 && indent+utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
