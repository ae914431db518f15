// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"driverd/internal/kerneltest"
	"driverd/kernelsplit"
)

const release = "7.2.12+deb14-amd64"

func TestReadTree(t *testing.T) {
	want := []*kernelsplit.Module{
		{
			Path:     "kernel/drivers/net/ethernet/intel/igb/igb.ko.xz",
			Depends:  []string{"dca", "i2c_algo_bit"},
			Imports:  []string{"pci_enable_sriov", "dca_add_requester"},
			Aliases:  []string{"pci:v00008086d000010C9sv*sd*bc*sc*i*", "pci:v00008086d00001521sv*sd*bc*sc*i*"},
			Version:  "5.6.0-k",
			Firmware: []string{"intel/igb.bin"},
		},
		{Path: "kernel/drivers/dca/dca.ko.zst"},
		{Path: "kernel/drivers/i2c/algos/i2c-algo-bit.ko.gz"},
		{Path: "kernel/fs/fuse/fuse.ko", Aliases: []string{"fs-fuse"}},
	}
	dir := kerneltest.WriteTree(t, t.TempDir(), release, want)
	tree, err := kernelsplit.ReadTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	byPath := cmpopts.SortSlices(func(a, b *kernelsplit.Module) bool { return a.Path < b.Path })
	if diff := cmp.Diff(want, tree.Modules, byPath, cmpopts.IgnoreFields(kernelsplit.Module{}, "Size")); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
	if tree.Release != release || tree.Dir != dir {
		t.Errorf("release %q in %q", tree.Release, tree.Dir)
	}
	for _, m := range tree.Modules {
		info, err := os.Stat(filepath.Join(dir, m.Path))
		if err != nil || info.Size() != m.Size {
			t.Errorf("size of %s: %d, file: %v %v", m.Path, m.Size, info, err)
		}
	}
	if diff := cmp.Diff([]string{"kmod(virtio_pci.ko)"}, kernelsplit.BuiltinProvides(tree)); diff != "" {
		t.Errorf("built in (-want +got):\n%s", diff)
	}
}

func TestReadTreeReadsSoftDependencies(t *testing.T) {
	dir := kerneltest.WriteTree(t, t.TempDir(), release, []*kernelsplit.Module{
		{Path: "kernel/nic.ko"},
		{Path: "kernel/phy-lib.ko"},
		{Path: "kernel/crc.ko", Aliases: []string{"crypto-crc32c"}},
		{Path: "kernel/crc-x86.ko", Aliases: []string{"crypto-crc32c"}},
		{Path: "kernel/tail.ko"},
	})
	kerneltest.Write(t, filepath.Join(dir, "modules.softdep"), []byte(`# depmod's comment
softdep nic crc_x86
softdep nic pre: phy-lib crypto-crc32c platform:built-in post: tail phy_lib
softdep elsewhere pre: nic
`))
	kerneltest.Write(t, filepath.Join(dir, "modules.weakdep"), []byte("weakdep phy_lib crc\n"))
	tree, err := kernelsplit.ReadTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, m := range tree.Modules {
		if m.SoftDepends != nil {
			got[m.Name()] = m.SoftDepends
		}
	}
	if diff := cmp.Diff(map[string][]string{"nic": {"crc", "crc_x86", "phy_lib", "tail"}, "phy_lib": {"crc"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadTreeRefuses(t *testing.T) {
	fuse := &kernelsplit.Module{Path: "kernel/fs/fuse/fuse.ko"}
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, tree string)
		want  string // all of these, separated by "|"
	}{
		{"no depmod files", func(t *testing.T, tree string) { remove(t, tree, "modules.dep") }, "has depmod run|modules.dep"},
		{"no soft dependencies", func(t *testing.T, tree string) { remove(t, tree, "modules.softdep") }, "has depmod run|modules.softdep"},
		{"no list of built-ins", func(t *testing.T, tree string) { remove(t, tree, "modules.builtin") }, "modules.builtin"},
		{"a new module", func(t *testing.T, tree string) {
			kerneltest.Write(t, filepath.Join(tree, "kernel/new.ko"), nil)
		}, "kernel/new.ko is not in modules.dep"},
		{"a lost module", func(t *testing.T, tree string) { remove(t, tree, fuse.Path) }, "kernel/fs/fuse/fuse.ko is in modules.dep"},
		{"no module at all", func(t *testing.T, tree string) {
			kerneltest.Write(t, filepath.Join(tree, fuse.Path), bytes.Repeat([]byte("hello "), 20))
		}, "fuse.ko|bad magic number"},
		{"a truncated module", func(t *testing.T, tree string) {
			whole := kerneltest.Object(fuse)
			kerneltest.Write(t, filepath.Join(tree, fuse.Path), whole[:len(whole)-1])
		}, "fuse.ko"},
		{"a truncated archive", func(t *testing.T, tree string) {
			remove(t, tree, fuse.Path)
			file := filepath.Join(tree, fuse.Path+".xz")
			kerneltest.Write(t, file, kerneltest.Object(fuse))
			if err := os.Truncate(file, 40); err != nil {
				t.Fatal(err)
			}
			kerneltest.Write(t, filepath.Join(tree, "modules.dep"), []byte(fuse.Path+".xz:\n"))
		}, "fuse.ko.xz|xz: "},
		{"an unknown compression", func(t *testing.T, tree string) {
			kerneltest.Write(t, filepath.Join(tree, "kernel/a.ko.br"), nil)
			kerneltest.Write(t, filepath.Join(tree, "modules.dep"), []byte(fuse.Path+":\nkernel/a.ko.br:\n"))
		}, `a.ko.br|unknown compression ".br"`},
		{"garbage in modules.dep", func(t *testing.T, tree string) {
			kerneltest.Write(t, filepath.Join(tree, "modules.dep"), []byte(fuse.Path+":\n\ngarbage\n"))
		}, `modules.dep: line 3: no colon in "garbage"`},
		{"a line of a megabyte in modules.dep", func(t *testing.T, tree string) {
			kerneltest.Write(t, filepath.Join(tree, "modules.dep"), append([]byte(fuse.Path+":\n"), bytes.Repeat([]byte("a"), 1<<20)...))
		}, "modules.dep: line 2: |too long"},
		{"an alias of a megabyte", func(t *testing.T, tree string) {
			huge := kernelsplit.Module{Path: fuse.Path, Aliases: []string{strings.Repeat("a", 1<<20)}}
			kerneltest.Write(t, filepath.Join(tree, fuse.Path), kerneltest.Object(&huge))
		}, "fuse.ko|an alias of 1048576 bytes, want 4096 at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := kerneltest.WriteTree(t, t.TempDir(), release, []*kernelsplit.Module{fuse})
			test.spoil(t, dir)
			tree, err := kernelsplit.ReadTree(t.Context(), dir)
			if err == nil {
				t.Fatalf("read %v", tree)
			}
			for part := range strings.SplitSeq(test.want, "|") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func remove(t *testing.T, tree, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(tree, file)); err != nil {
		t.Fatal(err)
	}
}
