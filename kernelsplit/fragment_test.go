// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"driverd/internal/kerneltest"
	"driverd/kernelsplit"
)

// A spec that includes the fragments of two variants can be parsed where nothing
// has been built, as for a source package, and names what Fedora's names would be.
func TestFragmentsParse(t *testing.T) {
	rpmspec, err := exec.LookPath("rpmspec")
	if err != nil {
		t.Fatalf("cannot parse a spec: %v (make host installs it)", err)
	}
	dir := t.TempDir()
	includes := ""
	for _, variant := range []string{"", "64k", "64k-debug"} {
		split, err := kernelsplit.Divide("6.12.0-55.el10.x86_64", []*kernelsplit.Module{{Path: "kernel/fs/ext4/ext4.ko"}}, kernelsplit.DefaultRules())
		if err != nil {
			t.Fatal(err)
		}
		split.Variant = variant
		out := filepath.Join(dir, "split"+variant)
		if err := split.Write(out); err != nil {
			t.Fatal(err)
		}
		includes += "%include " + filepath.Join(out, kernelsplit.FragmentFile) + "\n"
	}
	spec := filepath.Join(dir, "kernel.spec")
	kerneltest.Write(t, spec, []byte(`%global KVERREL 6.12.0-55.el10.x86_64
%global kernel_split /nowhere/until/install
Name: kernel
Version: 6.12.0
Release: 55.el10
Summary: The Linux kernel
License: GPL-2.0-only
%description
The Linux kernel.
`+includes))
	out, err := exec.CommandContext(t.Context(), rpmspec, "-P", spec).CombinedOutput()
	if err != nil {
		t.Fatalf("cannot parse: %v\n%s", err, out)
	}
	for _, line := range []string{
		"%package modules-sriov",
		"Provides: kernel-modules-sriov-uname-r = 6.12.0-55.el10.x86_64",
		"Requires: kernel-uname-r = 6.12.0-55.el10.x86_64",
		"%package 64k-modules-core",
		"Provides: kernel-64k-modules-core-uname-r = 6.12.0-55.el10.x86_64+64k",
		"Requires: (kernel-64k-modules-uname-r = 6.12.0-55.el10.x86_64+64k if (kernel-64k-modules-core without kernel-64k-modules-split))",
		"Requires: kernel-uname-r = 6.12.0-55.el10.x86_64+64k_debug",
		"    /usr/sbin/depmod -a 6.12.0-55.el10.x86_64+64k-debug",
		"%transfiletriggerpostun 64k-debug-modules-core -- /lib/modules/6.12.0-55.el10.x86_64+64k-debug/kernel",
		"%files 64k-debug-modules-gpu -f /nowhere/until/install/64k-debug-modules-gpu.list",
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(line) + `$`).Match(out) {
			t.Errorf("no line %q in what rpmspec -P prints", line)
		}
	}
	if strings.Contains(string(out), "%include") {
		t.Error("something is included that is not there yet")
	}
	names, err := exec.CommandContext(t.Context(), rpmspec, "-q", "--qf", "%{NAME}\n", spec).CombinedOutput()
	if err != nil || strings.Count(string(names), "kernel-64k-debug-modules") != 5 {
		t.Errorf("packages %s: %v", names, err)
	}
}
