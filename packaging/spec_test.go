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

// TestSpecByDistribution sees that the package does by itself what rpm or the
// distribution does not do, and no more.
func TestSpecByDistribution(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		define                   string
		creates, preset, selinux bool // the user; a file of its own; a policy module
	}{{"fedora 41", true, false, true}, {"fedora 42", false, false, true}, {"rhel 10", true, true, true}, {"rhel 11", false, true, true}, {"none 1", true, true, false}} {
		out, err := exec.Command("rpmspec", "--parse", "--load", "macros.fedora", "--load", "macros.systemd", "--load", "macros.golang",
			"--define", "_sourcedir ../units", "--undefine", "fedora", "--undefine", "rhel", "--define", test.define, "driverd.spec").Output()
		if err != nil {
			t.Fatalf("cannot parse the spec where %s: %v", test.define, err)
		}
		spec := string(out)
		if got := strings.Contains(spec, "\n%pre\n"); got != test.creates {
			t.Errorf("where %s, %%pre creates the user: %v", test.define, got)
		}
		if got := strings.Contains(spec, "90-driverd.preset"); got != test.preset {
			t.Errorf("where %s, the package has a preset: %v", test.define, got)
		}
		if got := strings.Contains(spec, "\n%package selinux\n"); got != test.selinux {
			t.Errorf("where %s, there is a package with a policy module: %v", test.define, got)
		}
	}
}
