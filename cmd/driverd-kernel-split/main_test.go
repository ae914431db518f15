// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/internal/kerneltest"
	"driverd/kernelsplit"
)

func tree(t *testing.T) string {
	t.Helper()
	return kerneltest.WriteTree(t, t.TempDir(), "7.2.12", []*kernelsplit.Module{
		{Path: "kernel/drivers/net/ethernet/intel/igb/igb.ko", Imports: []string{"pci_enable_sriov"}, Depends: []string{"dca"}},
		{Path: "kernel/drivers/dca/dca.ko.xz"},
		{Path: "kernel/drivers/net/veth.ko.xz"},
	})
}

func TestCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "split")
	for _, test := range []struct {
		name, args string
		want       []string
	}{
		{"write", "write TREE DIR", []string{"group", "base", "sriov", "all"}},
		{"report", "report TREE", []string{"compressed MB", "hardware"}},
		{"why", "why TREE dca veth", []string{"dca is in sriov\n", "moved to sriov: igb needs it (rule: sriov path=", "veth is in base\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			args := strings.Fields(strings.NewReplacer("TREE", tree(t), "DIR", dir).Replace(test.args))
			if err := run(t.Context(), "", args, &out); err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
	for _, file := range []string{kernelsplit.FragmentFile, kernelsplit.CatalogFile, "modules-sriov.list", "modules.provides"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}

func TestBadInputLeavesNothing(t *testing.T) {
	for _, test := range []struct {
		name, rules, want string
		spoil             func(t *testing.T, tree string)
	}{
		{"no depmod files", "base path=kernel/", "has depmod run", func(t *testing.T, tree string) {
			if err := os.Remove(filepath.Join(tree, "modules.dep")); err != nil {
				t.Fatal(err)
			}
		}},
		{"a truncated module", "base path=kernel/", "igb.ko", func(t *testing.T, tree string) {
			if err := os.Truncate(filepath.Join(tree, "kernel/drivers/net/ethernet/intel/igb/igb.ko"), 100); err != nil {
				t.Fatal(err)
			}
		}},
		{"a module in no rule", "base name=igb,dca", "veth.ko.xz: no rule matches it", nil},
		{"rules at odds", "sriov name=igb\nbase name=igb\nbase path=kernel/", `rules "sriov name=igb" and "base name=igb" both name it`, nil},
		{"a bad rule", "nics name=igb", `line 1: cannot read "nics" as a group`, nil},
		{"a dependency cycle", "base path=kernel/", "dca.ko.xz: it depends on kernel/drivers/net/ethernet/intel/igb/igb.ko, which depends on it", func(t *testing.T, tree string) {
			const igb, dca = "kernel/drivers/net/ethernet/intel/igb/igb.ko", "kernel/drivers/dca/dca.ko.xz"
			kerneltest.Write(t, filepath.Join(tree, "modules.dep"), []byte(igb+": "+dca+"\n"+dca+": "+igb+"\nkernel/drivers/net/veth.ko.xz:\n"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, dir := tree(t), t.TempDir()
			if test.spoil != nil {
				test.spoil(t, tree)
			}
			rules := filepath.Join(t.TempDir(), "rules")
			kerneltest.Write(t, rules, []byte(test.rules))
			err := run(t.Context(), rules, []string{"write", tree, filepath.Join(dir, "split")}, &strings.Builder{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}
