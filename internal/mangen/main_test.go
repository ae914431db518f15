// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestPagesAreFresh(t *testing.T) {
	t.Parallel()
	for path, page := range pages {
		want, err := page(root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(root, path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s is not what its source says, run make docs:\n%s", path, diff)
		}
	}
}

// TestPages sees that every page is of this version, is well-formed, and reads
// on a console.
func TestPages(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(root + "/packaging/man/*.[0-9]")
	if err != nil || len(found) < 3 {
		t.Fatalf("the pages are %v: %v", found, err)
	}
	version, _, err := release(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range found {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			source, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(source), fmt.Sprintf("\"driverd %s\"", version)) {
				t.Errorf("it is not of driverd %s", version)
			}
			if out, err := exec.Command("mandoc", "-T", "lint", "-W", "style", page).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("mandoc: %v\n%s", err, out)
			}
			command := exec.Command("man", "--warnings", "--local-file", page)
			command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80")
			var complaints bytes.Buffer
			command.Stderr = &complaints
			text, err := command.Output()
			if err != nil || complaints.Len() > 0 {
				t.Errorf("man: %v\n%s", err, &complaints)
			}
			if !bytes.Contains(text, []byte("SEE ALSO")) {
				t.Errorf("man shows:\n%s", text)
			}
			for line := range strings.Lines(string(text)) {
				if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
					t.Errorf("too wide for a console: %q", line)
				}
			}
		})
	}
}

func TestRoff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain words-with-hyphens":     "plain words-with-hyphens\n",
		"type `dnf check -y` (now)":    "type \\fBdnf check \\-y\\fR (now)\n",
		"see modprobe.d(5), or dnf(8)": "see \\fBmodprobe.d\\fR(5), or \\fBdnf\\fR(8)\n",
		"in /etc/yum.repos.d; and/or":  "in \\fI/etc/yum.repos.d\\fR; and/or\n",
		".so /etc/shadow":              "\\&.so \\fI/etc/shadow\\fR\n",
		"'quoted' \\fBnot bold ~^":     "\\&'quoted' \\efBnot bold \\(ti\\(ha\n",
		strings.Repeat("longer ", 12):  strings.TrimSpace(strings.Repeat("longer ", 11)) + "\nlonger\n",
		"the flag --json":              "the flag \\-\\-json\n",
	} {
		if got := fill(text); got != want {
			t.Errorf("%q is set as %q, want %q", text, got, want)
		}
	}
}

func TestDescriptionWithoutDocumentation(t *testing.T) {
	t.Parallel()
	for _, description := range []string{
		`<node><interface name="a.B"/></node>`,
		`<node><!-- I --><interface name="a.B"><property name="P" type="s" access="read"/></interface></node>`,
		`<node><!-- I --><interface name="a.B">`,
	} {
		if got, err := parse(description); err == nil {
			t.Errorf("%s gives %v", description, got)
		}
	}
}
