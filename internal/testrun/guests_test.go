// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestGuestsTable holds docs/guests.md against the tests: each that it names is there, in
// the target that it names; and it names every test of make test-guests, every recording,
// and every machine of the lab.
func TestGuestsTable(t *testing.T) {
	t.Chdir("../..")
	page, err := os.ReadFile("docs/guests.md")
	if err != nil {
		t.Fatal(err)
	}
	needLab, err := labTests()
	if err != nil {
		t.Fatal(err)
	}
	all, err := complete(parts(time.Minute), needLab)
	if err != nil {
		t.Fatal(err)
	}
	units, err := unitTests()
	if err != nil {
		t.Fatal(err)
	}
	targets := map[tier]string{everyday: "make test", rest: "make test-rest", long: "make test-long", manyGuests: "make test-guests"}
	targetOf := func(test string) string {
		for _, p := range all {
			if slices.Contains(p.tests, test) {
				return targets[p.tier]
			}
		}
		if slices.Contains(units, test) {
			return targets[everyday] // go test ./... is a part of it
		}
		return "no target"
	}
	for _, p := range all {
		for _, test := range p.tests {
			if p.tier == manyGuests && !strings.Contains(string(page), "`"+test+"`") {
				t.Errorf("the page does not name %s of make test-guests", test)
			}
		}
	}
	rows := guestRows(string(page))
	for _, row := range rows {
		if len(row.tests) == 0 && (row.target != "" || !strings.HasPrefix(row.how, "not by a test")) {
			t.Errorf("%s: no test tries it, and the page does not say so", row.guest)
		}
		for _, test := range row.tests {
			if got := targetOf(test); got != row.target {
				t.Errorf("%s: %s is in %s, not in %q", row.guest, test, got, row.target)
			}
		}
	}
	if len(rows) < 10 {
		t.Errorf("the table has %d rows", len(rows))
	}
	recordings, err := filepath.Glob("internal/service/testdata/guests/*.txtar")
	if err != nil || len(recordings) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	var named []string
	for _, file := range recordings {
		named = append(named, strings.TrimSuffix(filepath.Base(file), ".txtar"))
	}
	machines, err := os.ReadFile("lab/machine.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`Machine = "([^"]+)"`).FindAllStringSubmatch(string(machines), -1) {
		named = append(named, m[1])
	}
	for _, name := range named {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the page does not name %s", name)
		}
	}
}

// unitTests are the tests that go test ./... runs.
func unitTests() (names []string, err error) {
	err = filepath.WalkDir(".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil || strings.HasPrefix(string(text), "// SPDX-License-Identifier: Apache-2.0\n\n//go:build") {
			return err
		}
		for _, m := range testFunction.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
		return nil
	})
	return names, err
}
