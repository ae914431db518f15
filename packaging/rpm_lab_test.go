// SPDX-License-Identifier: Apache-2.0

//go:build lab

package packaging_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// packages are the RPMs that make rpm leaves.
func packages(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"../dist/driverd-*.rpm", "../dist/cockpit-driverd-*.rpm", "../dist/packagers/driverd-*.rpm"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, slices.DeleteFunc(files, isSource)...)
	}
	if len(found) == 0 {
		t.Fatal("cannot find driverd's packages, run make rpm")
	}
	return found
}

func isSource(file string) bool { return strings.HasSuffix(file, ".src.rpm") }

// output runs a command that must succeed, and returns what it said.
func output(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("cannot run %s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// show runs a command, whose output make test then shows, and returns that.
func show(t *testing.T, argv ...string) string {
	t.Helper()
	said := output(t, argv...)
	fmt.Printf("\ntable: # %s\n", strings.Join(argv, " ")) // from the beginning of a line
	for line := range strings.Lines(said) {
		fmt.Print("table: " + line)
	}
	return said
}

// TestPackages shows what the packages ask for, bring and run, and has rpmlint
// look at them.
func TestPackages(t *testing.T) {
	for _, file := range packages(t) {
		for _, what := range []string{"--requires", "--recommends", "--provides", "--scripts"} {
			show(t, "rpm", "-qp", what, file)
		}
	}
	home := rpmHome(t)
	for _, file := range append(packages(t), filepath.Join(home, "driverd.spec")) {
		if said := show(t, "env", "HOME="+home, "rpmlint", "-c", "rpmlint.toml", file); !strings.Contains(said, " 0 errors, 0 warnings,") {
			t.Errorf("rpmlint of %s complains", file)
		}
	}
}

// rpmHome returns a home folder with the spec and what it reads, where rpm knows the
// macros that rpmbuild-here loads.
func rpmHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	loaded, err := filepath.Glob("macros.*")
	if err != nil || len(loaded) == 0 {
		t.Fatalf("cannot find the macros: %v", err)
	}
	for to, from := range map[string][]string{
		".rpmmacros": loaded, "driverd.spec": {"driverd.spec"}, "driverd.sysusers": {"../units/driverd.sysusers"},
	} {
		var text []byte
		for _, file := range from {
			part, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, part...)
		}
		if err := os.WriteFile(filepath.Join(home, to), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// TestInstalledSize sees that the service stays small, and shows what is in it.
func TestInstalledSize(t *testing.T) {
	const most = 12_000_000
	service, err := filepath.Glob("../dist/driverd-[0-9]*.rpm")
	service = slices.DeleteFunc(service, isSource)
	if err != nil || len(service) != 1 {
		t.Fatalf("cannot find driverd's package: %v %v", service, err)
	}
	file := service[0]
	size, err := strconv.Atoi(output(t, "rpm", "-qp", "--qf", "%{SIZE}", file))
	if err != nil || size > most {
		t.Errorf("driverd takes %d bytes when installed, more than %d: %v", size, most, err)
	}
	t.Logf("driverd takes %d bytes when installed:\n%s", size, output(t, "rpm", "-qp", "--qf", "[%{FILESIZES} %{FILENAMES}\n]", file))
}

// TestSourceRebuildsOffline rebuilds the source RPM, tests included, with no
// network and none of Go's downloads, and gets the same files, to the byte.
func TestSourceRebuildsOffline(t *testing.T) {
	dir := t.TempDir()
	output(t, "./build-rpm", "-s", dir)
	source, err := filepath.Glob(filepath.Join(dir, "driverd-*.src.rpm"))
	if err != nil || len(source) != 1 {
		t.Fatalf("make srpm left %v: %v", source, err)
	}
	// Two lines of heading, and lo, which is down.
	if devices := output(t, "unshare", "--net", "cat", "/proc/net/dev"); strings.Count(devices, "\n") > 3 {
		t.Fatalf("there is a network:\n%s", devices)
	}
	t.Log(output(t, "unshare", "--net", "env", "GOPROXY=off", "GOMODCACHE="+filepath.Join(dir, "none"), "./rpmbuild-here",
		"--rebuild", "--define", "_topdir "+filepath.Join(dir, "build"), source[0]))

	for _, file := range packages(t) {
		rebuilt, err := filepath.Glob(filepath.Join(dir, "build", "RPMS", "*", filepath.Base(file)))
		if err != nil || len(rebuilt) != 1 {
			t.Errorf("%s was not rebuilt: %v", filepath.Base(file), err)
			continue
		}
		if describe(t, rebuilt[0]) != describe(t, file) {
			t.Errorf("%s is another after the rebuild; is dist of this tree? run make rpm", filepath.Base(file))
		}
	}
}

// describe is all that matters of a package: its files, what it asks for, brings
// and runs. Two files differ nevertheless: one names the source that it is of.
func describe(t *testing.T, file string) string {
	t.Helper()
	return output(t, "rpm", "-qp", "--qf", "%{PAYLOADDIGEST}\n", file) +
		output(t, "rpm", "-qp", "--requires", "--recommends", "--provides", "--scripts", file)
}
