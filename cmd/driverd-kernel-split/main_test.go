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
		{Path: "kernel/drivers/net/ethernet/intel/igb/igb.ko", Imports: []string{"pci_enable_sriov"}, Depends: []string{"dca"}, Aliases: []string{"pci:v00008086d000010C9sv*sd*bc*sc*i*"}},
		{Path: "kernel/drivers/dca/dca.ko.xz"},
		{Path: "kernel/drivers/net/veth.ko.xz"},
		{Path: "kernel/drivers/net/virtio_net.ko", Aliases: []string{"virtio:d00000001v*"}},
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
		{"rules", "rules TREE", []string{"  - name: modules-sriov\n    depends-on:\n    - modules-core\n", "  - drivers/net/.*: modules-core\n", "  - default: modules\n"}},
		{"why", "why TREE dca veth", []string{"dca is in sriov\n", "moved to sriov: igb needs it (rule: sriov path=", "veth is in base\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			args := strings.Fields(strings.NewReplacer("TREE", tree(t), "DIR", dir).Replace(test.args))
			if err := run(t.Context(), options{}, args, &out, &out); err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
	for _, file := range []string{kernelsplit.FragmentFile, kernelsplit.CatalogFile, kernelsplit.ProvidesFile, "modules-sriov.list"} {
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
		{"rules at odds", "sriov name=igb\nbase name=igb\nbase path=kernel/", `rules: cannot read rule in line 2: "base name=igb" names igb, and so does "sriov name=igb" (line 1)`, nil},
		{"rules that break what a guest needs", "hardware path=kernel/", `cannot leave module kernel/drivers/net/virtio_net.ko in hardware (rule "hardware path=kernel/" (line 1)): it drives a device of the guest's own, virtio:d00000001v*`, nil},
		{"a bad rule", "nics name=igb", `line 1: cannot read "nics" as a group`, nil},
		{"a dependency cycle", "base path=kernel/", "dca.ko.xz: it depends on kernel/drivers/net/ethernet/intel/igb/igb.ko, which depends on it", func(t *testing.T, tree string) {
			const igb, dca = "kernel/drivers/net/ethernet/intel/igb/igb.ko", "kernel/drivers/dca/dca.ko.xz"
			kerneltest.Write(t, filepath.Join(tree, "modules.dep"), []byte(igb+": "+dca+"\n"+dca+": "+igb+"\nkernel/drivers/net/veth.ko.xz:\nkernel/drivers/net/virtio_net.ko:\n"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree, dir := tree(t), t.TempDir()
			if test.spoil != nil {
				test.spoil(t, tree)
			}
			rules := filepath.Join(t.TempDir(), "rules")
			kerneltest.Write(t, rules, []byte(test.rules))
			err := run(t.Context(), options{rules: rules}, []string{"write", tree, filepath.Join(dir, "split")}, &strings.Builder{}, &strings.Builder{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}

func TestUnknownModulesAreAHint(t *testing.T) {
	dir := kerneltest.WriteTree(t, t.TempDir(), "7.2.12", []*kernelsplit.Module{{Path: "updates/nic.ko.xz"}, {Path: "kernel/fs/ext4/ext4.ko"}})
	var hints strings.Builder
	if err := run(t.Context(), options{}, []string{"write", dir, filepath.Join(t.TempDir(), "split")}, &strings.Builder{}, &hints); err != nil {
		t.Fatal(err)
	}
	if want := "hint: no rule matches updates/nic.ko.xz: it is in hardware; a rule may say else, as in \"base name=nic\"\n"; hints.String() != want {
		t.Errorf("hints %q, want %q", hints.String(), want)
	}
}

func TestVariantOfAnotherTree(t *testing.T) {
	err := run(t.Context(), options{variant: "64k"}, []string{"report", tree(t)}, &strings.Builder{}, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "its release does not end in +64k") {
		t.Errorf("error %v", err)
	}
}

// Each command of the guide runs as it stands there, on a small kernel.
func TestCommandsOfTheGuide(t *testing.T) {
	guide, err := os.ReadFile("../../docs/kernel-packagers.md")
	if err != nil {
		t.Fatal(err)
	}
	work, scratch := t.TempDir(), t.TempDir()
	modules := []*kernelsplit.Module{
		{Path: "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko.xz", Aliases: []string{"pci:v00008086d000010D3sv*sd*bc*sc*i*"}},
		{Path: "kernel/drivers/infiniband/hw/mlx5/mlx5_ib.ko.xz", Aliases: []string{"auxiliary:mlx5_core.rdma"}, Depends: []string{"mlx5_core"}},
		{Path: "kernel/drivers/net/ethernet/mellanox/mlx5/core/mlx5_core.ko.xz", Aliases: []string{"pci:v000015B3d00001017sv*sd*bc*sc*i*"}, Imports: []string{"pci_enable_sriov"}},
	}
	const build = "7.2.12-200.fc44.x86_64"
	for _, release := range []string{build, "7.2.12-200.fc44.aarch64", "7.2.12-200.fc44.aarch64+64k"} {
		kerneltest.WriteTree(t, work, release, modules)
	}
	macros := strings.NewReplacer("%{buildroot}", "", "%{KVERREL}", build, "%{kernel_split}", "installed")
	commands := 0
	for line := range strings.Lines(string(guide)) {
		command, isCommand := strings.CutPrefix(line, "    driverd-kernel-split ")
		if !isCommand {
			continue
		}
		commands++
		o, args, err := parseArgs(strings.Fields(macros.Replace(command)))
		if err != nil || !wellFormed(args) {
			t.Fatalf("%q: usage %v", command, err)
		}
		for i, arg := range args[1:] {
			switch {
			case strings.HasPrefix(arg, "/lib/modules/"):
				args[i+1] = filepath.Join(work, arg)
			case args[0] == "write":
				args[i+1] = filepath.Join(scratch, arg)
			}
		}
		if err := run(t.Context(), o, args, &strings.Builder{}, &strings.Builder{}); err != nil {
			t.Errorf("%q: %v", command, err)
		}
	}
	if commands < 5 {
		t.Errorf("only %d commands are in the guide", commands)
	}
	for _, file := range []string{"split/subpackages.inc", "installed/modules.catalog", "split-64k/64k-modules-core.list"} {
		if _, err := os.Stat(filepath.Join(scratch, file)); err != nil {
			t.Error(err)
		}
	}
}
