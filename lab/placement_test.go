// SPDX-License-Identifier: Apache-2.0

//go:build lab

package lab_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	kernel "driverd/kernelsplit"
	"driverd/lab"
)

// wishes are what testdata/drivers says: the group of each driver.
func wishes(t *testing.T) map[string]kernel.Group {
	t.Helper()
	text, err := os.ReadFile("testdata/drivers")
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string]kernel.Group{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] == "#" {
			continue
		}
		group, err := kernel.ParseGroup(fields[0])
		if err != nil || len(fields) < 3 || groups[fields[1]] != "" {
			t.Fatalf("bad line %q: want a group, a driver named once and a reason: %v", line, err)
		}
		groups[fields[1]] = group
	}
	return groups
}

// trees are the built kernels, each with how many of the drivers in
// testdata/drivers it has at least: the architectures differ in them.
var trees = map[string]struct {
	kernel  lab.DebianKernel
	drivers int
}{
	"amd64": {lab.AMD64, 150},
	"arm64": {lab.ARM64, 150},
	"686":   {lab.I686, 150},
}

func TestDriversAreWhereTheyBelong(t *testing.T) {
	want := wishes(t)
	for arch, test := range trees {
		t.Run(arch, func(t *testing.T) {
			tree, split := divide(t, test.kernel)
			found := 0
			group := map[string]kernel.Group{}
			for _, p := range split.Placements {
				if group[p.Name()] != "" {
					t.Errorf("%s is there twice", p.Name())
				}
				group[p.Name()] = p.Group
				if want[p.Name()] == "" {
					continue
				}
				found++
				if p.Group != want[p.Name()] {
					why, _ := split.Why(p.Name())
					t.Errorf("want %s in %s: %s", p.Name(), want[p.Name()], why)
				}
			}
			t.Logf("%d of %d drivers are modules here", found, len(want))
			if found < test.drivers {
				t.Errorf("the tree has %d of the drivers, want at least %d", found, test.drivers)
			}
			if len(split.Placements) != len(tree.Modules) {
				t.Errorf("%d modules became %d", len(tree.Modules), len(split.Placements))
			}
			for _, m := range tree.Modules {
				for _, d := range append(m.Depends, m.SoftDepends...) {
					if !group[m.Name()].Reaches(group[d]) {
						t.Errorf("%s in %s needs %s in %s", m.Name(), group[m.Name()], d, group[d])
					}
				}
			}
		})
	}
}

func TestSizes(t *testing.T) {
	for arch, test := range trees {
		t.Run(arch, func(t *testing.T) {
			tree, split := divide(t, test.kernel)
			packed, err := tree.Compress(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all, base := split.Sum(packed, kernel.Groups()...), split.Sum(packed, kernel.Base)
			if base.Compressed*10 > all.Compressed*6 || base.Installed*10 > all.Installed*6 {
				t.Errorf("the base has %d of %d bytes, more than 60 %%", base.Compressed, all.Compressed)
			}
			if sriov := split.Sum(packed, kernel.SRIOV); sriov.Compressed > 8e6 {
				t.Errorf("sriov has %d bytes, more than 8 MB", sriov.Compressed)
			}
		})
	}
}

func TestWriteARealTreeTwice(t *testing.T) {
	_, split := divide(t, lab.AMD64)
	read := func() map[string]string {
		dir := filepath.Join(t.TempDir(), "split")
		if err := split.Write(dir); err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all[f.Name()] = string(data)
		}
		return all
	}
	first := read()
	_, split = divide(t, lab.AMD64)
	if second := read(); !maps.Equal(first, second) {
		t.Errorf("another run, another split (-first +second):\n%s", cmp.Diff(first, second))
	}
}

func divide(t *testing.T, k lab.DebianKernel) (*kernel.Tree, *kernel.Split) {
	t.Helper()
	dir, err := k.Modules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := kernel.ReadTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	split, err := kernel.Divide(tree.Release, tree.Modules, kernel.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	return tree, split
}
