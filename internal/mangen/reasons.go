// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"strings"
)

var (
	catalogEntry = regexp.MustCompile(`(?m)^# (event|state|reason) (\S+)\n-- [0-9a-f]{32}\nSubject: (.*)\n(?:\S+: .*\n)+\n`)
	emptyLine    = regexp.MustCompile(`\n\n+`)
)

// reasons sets the entries of reasons in a catalog. Lines with an indent are commands.
func reasons(catalog string) (string, error) {
	var out strings.Builder
	entries := catalogEntry.FindAllStringSubmatchIndex(catalog, -1)
	for i, at := range entries {
		if catalog[at[2]:at[3]] != "reason" {
			continue
		}
		end := len(catalog)
		if i+1 < len(entries) {
			end = entries[i+1][0]
		}
		out.WriteString("*" + catalog[at[4]:at[5]] + "*\n")
		text := catalog[at[6]:at[7]] + ". " + strings.TrimRight(catalog[at[1]:end], "\n")
		for _, p := range emptyLine.Split(text, -1) {
			if commands, ok := strings.CutPrefix(p, "    "); ok {
				out.WriteString("\t```\n\t" + strings.ReplaceAll(commands, "\n    ", "\n\t") + "\n\t```\n\n")
				continue
			}
			out.WriteString(paragraph(p, 1))
		}
	}
	return out.String(), nil
}
