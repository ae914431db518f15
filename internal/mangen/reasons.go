// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"regexp"
	"strings"
)

// The lines in driverd(8) between which the reasons are.
const (
	reasonsBegin = `.\" Made by make docs from units/driverd.catalog: write there.` + "\n"
	reasonsEnd   = `.\" End of what make docs makes.` + "\n"
)

var (
	catalogEntry = regexp.MustCompile(`(?m)^# (event|state|reason) (\S+)\n-- [0-9a-f]{32}\nSubject: (.*)\n(?:\S+: .*\n)+\n`)
	emptyLine    = regexp.MustCompile(`\n\n+`)
)

// reasonsPage returns driverd(8) with the reasons as the journal's catalog
// explains them.
func reasonsPage(root string) (string, error) {
	page, err := read(root, "packaging/man/driverd.8")
	if err != nil {
		return "", err
	}
	before, rest, begins := strings.Cut(page, reasonsBegin)
	_, after, ends := strings.Cut(rest, reasonsEnd)
	if !begins || !ends {
		return "", errors.New("it lacks the lines between which the reasons are")
	}
	catalog, err := read(root, "units/driverd.catalog")
	if err != nil {
		return "", err
	}
	return before + reasonsBegin + reasons(catalog) + reasonsEnd + after, nil
}

// reasons sets the entries of reasons in a catalog.
func reasons(catalog string) string {
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
		out.WriteString(".TP\n.B " + hyphens(catalog[at[4]:at[5]]) + "\n")
		text := catalog[at[6]:at[7]] + ". " + strings.TrimSpace(catalog[at[1]:end])
		for n, paragraph := range emptyLine.Split(text, -1) {
			if n > 0 {
				out.WriteString(".IP\n")
			}
			out.WriteString(fill(paragraph))
		}
	}
	return out.String()
}
