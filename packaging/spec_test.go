// SPDX-License-Identifier: Apache-2.0

package packaging_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestBundled sees that the spec names the modules that the packages' programs
// are linked from, as Fedora wants it, and names no other.
func TestBundled(t *testing.T) {
	spec, err := os.ReadFile("driverd.spec")
	if err != nil {
		t.Fatal(err)
	}
	const list = "{{with .Module}}{{if not .Main}}Provides:       bundled(golang({{.Path}})) = {{.Version}}{{end}}{{end}}"
	out, err := exec.Command("go", "list", "-deps", "-f", list, "driverd/cmd/driverd", "driverd/cmd/driverd-kernel-split").Output()
	if err != nil {
		t.Fatalf("cannot list what the programs are linked from: %v", err)
	}
	linked := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		// A version of RPM's begins with a digit, and a - would end it.
		what, version, _ := strings.Cut(strings.TrimSpace(line), " = v")
		linked[what+" = "+strings.ReplaceAll(version, "-", "~")] = true
	}
	lines := strings.Split(string(spec), "\n")
	for line := range linked {
		if !slices.Contains(lines, line) {
			t.Errorf("driverd.spec lacks this line:\n%s", line)
		}
	}
	for _, line := range lines {
		if strings.Contains(line, "bundled(golang(") && !linked[line] {
			t.Errorf("driverd.spec has a line too many:\n%s", line)
		}
	}
}
