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
	for _, p := range parts {
		want, err := p.text(root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(root, p.page))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is not what its source says, run make docs:\n%s", p.page, diff)
		}
	}
}

// scdocWay is what mandoc has against scdoc's output itself: empty paragraphs, which no
// reader sees.
const scdocWay = "WARNING: skipping paragraph macro: PP "

// TestPages sees that every page is of this version, is well-formed, and reads
// on a console.
func TestPages(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(root + "/packaging/man/*.scd")
	if err != nil || len(found) < 3 {
		t.Fatalf("the pages are %v: %v", found, err)
	}
	spec, err := os.ReadFile(root + "/packaging/driverd.spec")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(spec), "\nVersion:")
	version = strings.Fields(version)[0]
	for _, source := range found {
		name := strings.TrimSuffix(filepath.Base(source), ".scd")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			dot := strings.LastIndexByte(name, '.')
			head := fmt.Sprintf("%s(%s) \"driverd %s\"\n", name[:dot], name[dot+1:], version)
			if !strings.HasPrefix(string(text), head) {
				t.Errorf("its first line is not %s", head)
			}
			page := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(page, output(t, bytes.NewReader(text), "scdoc"), 0o644); err != nil {
				t.Fatal(err)
			}
			// It fails if it has any complaint.
			lint, _ := exec.Command("mandoc", "-T", "lint", "-W", "warning", page).CombinedOutput()
			for complaint := range strings.Lines(string(lint)) {
				if !strings.Contains(complaint, scdocWay) {
					t.Errorf("%s", complaint)
				}
			}
			shown := string(output(t, nil, "man", "--warnings", "--local-file", page))
			if !strings.Contains(shown, "SEE ALSO") {
				t.Errorf("man shows:\n%s", shown)
			}
			for line := range strings.Lines(shown) {
				if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
					t.Errorf("too wide for a console: %q", line)
				}
			}
		})
	}
}

// output is what a program prints that must not complain.
func output(t *testing.T, stdin *bytes.Reader, argv ...string) []byte {
	t.Helper()
	command := exec.Command(argv[0], argv[1:]...)
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80")
	if stdin != nil {
		command.Stdin = stdin
	}
	var complaints bytes.Buffer
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("%s: %v\n%s", argv[0], err, &complaints)
	}
	return out
}

func TestParagraph(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain words-with-hyphens":          "plain words-with-hyphens",
		"type `dnf check -y` (now)":         "type *dnf check -y* (now)",
		"see modprobe.d(5), or dnf(8)":      "see *modprobe.d*(5), or *dnf*(8)",
		"in /etc/yum.repos.d; and/or":       "in _/etc/yum.repos.d_; and/or",
		"a * b_c _d \\d 20 MB":              "a \\* b_c \\_d \\\\d 20\u00a0MB",
		strings.Repeat("longer ", 13):       strings.TrimSpace(strings.Repeat("longer ", 12)) + "\n\tlonger",
		strings.Repeat("longer ", 12) + "-": strings.Repeat("longer ", 12) + "-",
	} {
		if got := paragraph(text, 1); got != "\t"+want+"\n\n" {
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
		if got, err := interfaces(description); err == nil {
			t.Errorf("%s gives %v", description, got)
		}
	}
}
