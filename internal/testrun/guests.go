// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// guestsPage has the table of all guests that are tried, and how.
const guestsPage = "docs/guests.md"

// guestRow is a row of the table: a guest, the tests that try it, and the target that runs them.
type guestRow struct {
	guest, how string
	tests      []string
	target     string
}

// testName matches the name of a test in the page.
var testName = regexp.MustCompile("`(Test\\w+)`")

// guestRows are the rows of the table in the page.
func guestRows(page string) (rows []guestRow) {
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) < 7 || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[1]) == "guest" {
			continue
		}
		row := guestRow{guest: strings.TrimSpace(cells[1]), how: strings.TrimSpace(cells[2]), target: strings.TrimSpace(cells[4])}
		for _, match := range testName.FindAllStringSubmatch(cells[3], -1) {
			row.tests = append(row.tests, match[1])
		}
		rows = append(rows, row)
	}
	return rows
}

// guestTable prints each guest of the page, with what has become of its tests.
func (r *run) guestTable() error {
	page, err := os.ReadFile(guestsPage)
	if err != nil {
		return fmt.Errorf("cannot print the table of guests: %w", err)
	}
	r.print("== guests (%s says how each is tried, and what is not)\n", guestsPage)
	for _, row := range guestRows(string(page)) {
		outcome, tests := r.outcome(row), strings.Join(row.tests, ", ")
		if outcome == notRun {
			tests += ": " + row.target
		}
		r.print("%-9s %-45s %s\n", outcome, row.guest, tests)
	}
	return nil
}

// notRun is the outcome of tests that this run did not have.
const notRun = "not run"

// outcome is what has become of the tests of a guest.
func (r *run) outcome(row guestRow) string {
	has := func(passed bool) bool {
		return slices.ContainsFunc(row.tests, func(test string) bool { was, ran := r.results[test]; return ran && was == passed })
	}
	switch {
	case has(false):
		return "failed"
	case has(true):
		return "passed"
	case len(row.tests) == 0:
		return "untried"
	}
	return notRun
}
