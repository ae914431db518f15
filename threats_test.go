// SPDX-License-Identifier: Apache-2.0

package driverd_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThreatsNameTheirTests sees that each line of the threat model in ARCHITECTURE.md
// names a test that is there: `TestName`, or `TestName/what_it_runs`.
func TestThreatsNameTheirTests(t *testing.T) {
	t.Parallel()
	tests := testsBySource(t)
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, model, _ := strings.Cut(string(text), "\n## Threat model\n")
	model, _, _ = strings.Cut(model, "\n## ")
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)(?:/([^`]+))?`")
	threats := 0
	for line := range strings.Lines(model) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.HasPrefix(cells[1], "---") || cells[1] == " who " {
			continue
		}
		threats++
		names := named.FindAllStringSubmatch(cells[4], -1)
		if len(names) == 0 {
			t.Errorf("no test shows this: %s", line)
		}
		for _, name := range names {
			part := strings.ReplaceAll(name[2], "_", " ")
			switch source := tests[name[1]]; {
			case source == "":
				t.Errorf("there is no test %s", name[1])
			case part != "" && !strings.Contains(source, `"`+part+`"`):
				t.Errorf("%s has no part %q", name[1], part)
			}
		}
	}
	if threats < 15 {
		t.Errorf("the threat model has %d lines", threats)
	}
}

// testsBySource finds the files of all tests, whatever their build tags, by name.
func testsBySource(t *testing.T) map[string]string {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	tests := make(map[string]string)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			tests[m[1]] += string(source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
