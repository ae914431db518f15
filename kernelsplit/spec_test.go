// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/kernelsplit"
)

func TestWrite(t *testing.T) {
	rules := parse(t, "base name=dca\nsriov name=igb\nhardware path=kernel/")
	split, err := kernelsplit.Divide("6.12.0-55.el10.x86_64+64k-debug", []*kernelsplit.Module{
		{Path: "kernel/net/igb/igb.ko.xz", Depends: []string{"dca"}, Aliases: []string{"pci:v00008086d000010C9sv*sd*bc*sc*i*"}},
		{Path: "kernel/dca/dca.ko.xz"},
	}, rules)
	if err != nil {
		t.Fatal(err)
	}
	split.Variant = "64k-debug"
	dir := filepath.Join(t.TempDir(), "split")
	if err := split.Write(dir); err != nil {
		t.Fatal(err)
	}
	got := contents(t, dir)

	// The paths have the release as it is, the capabilities as RPM can take it.
	const root = "/lib/modules/6.12.0-55.el10.x86_64+64k-debug"
	const capability = "%{kernel_split_version}+64k_debug"
	const macro = "/lib/modules/%{KVERREL}+64k-debug"
	const core = "Requires: %{name}-64k-debug-modules-core-uname-r = " + capability + "\n"
	want := map[string]string{
		"64k-debug-modules-sriov.list": "%dir " + root + "\n" +
			"%dir " + root + "/kernel\n" +
			"%dir " + root + "/kernel/net\n" +
			"%dir " + root + "/kernel/net/igb\n" +
			root + "/kernel/net/igb/igb.ko.xz\n",
		kernelsplit.ProvidesFile: root + "/kernel/dca/dca.ko.xz kmod(dca.ko)\n" +
			root + "/kernel/net/igb/igb.ko.xz kmod(igb.ko)\n" +
			root + "/kernel/net/igb/igb.ko.xz modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*)\n",
		"64k-debug-modules-core.list": "%dir " + root + "\n" +
			"%dir " + root + "/kernel\n" +
			"%dir " + root + "/kernel/dca\n" +
			root + "/kernel/dca/dca.ko.xz\n" +
			root + "/modules.catalog\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.alias\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.alias.bin\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.builtin.alias.bin\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.builtin.bin\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.dep\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.dep.bin\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.devname\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.softdep\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.symbols\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.symbols.bin\n" +
			"%ghost %attr(0644, root, root) " + root + "/modules.weakdep\n",
		kernelsplit.CatalogFile: "# driverd modules 1 of Linux 6.12.0-55.el10.x86_64+64k-debug\n" +
			"\nmodule dca\ngroup base\nfile kernel/dca/dca.ko.xz\n" +
			"\nmodule igb\ngroup sriov\nfile kernel/net/igb/igb.ko.xz\ndepends dca\nalias pci:v00008086d000010C9sv*sd*bc*sc*i*\n" +
			"\n# end\n",
		kernelsplit.FragmentFile: "# The version of *-uname-r capabilities. RPM takes one dash in it: where the\n" +
			"# kernel's release has more, the spec defines it, with underscores for the others.\n" +
			"%{!?kernel_split_version:%global kernel_split_version %{KVERREL}}\n\n" +
			section("modules-core", "Kernel modules that every guest needs", capability,
				"Provides: %{name}-64k-debug-modules-split\n"+
					"Requires: (%{name}-64k-debug-modules-uname-r = "+capability+" if (%{name}-64k-debug-modules-core without %{name}-64k-debug-modules-split))\n",
				"%transfiletriggerpostun 64k-debug-modules-core -- "+macro+"/kernel\n"+
					"[ ! -e "+macro+"/modules.order ] || while IFS=: read -r module depends; do\n"+
					"    [ -e \""+macro+"/$module\" ] || { /usr/sbin/depmod -a %{KVERREL}+64k-debug; break; }\n"+
					"done <"+macro+"/modules.dep\n\n") +
			section("modules-sriov", "Kernel modules for network cards with SR-IOV", capability, core, "") +
			section("modules-gpu", "Kernel modules for graphics cards and accelerators", capability, core, "") +
			section("modules-passthrough", "Kernel modules for other devices passed through to a guest", capability, core, "") +
			section("modules", "Kernel modules for all other hardware", capability, core+
				"Requires: %{name}-64k-debug-modules-sriov-uname-r = "+capability+"\n"+
				"Requires: %{name}-64k-debug-modules-gpu-uname-r = "+capability+"\n"+
				"Requires: %{name}-64k-debug-modules-passthrough-uname-r = "+capability+"\n", ""),
	}
	for name, text := range want {
		if diff := cmp.Diff(text, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func section(sub, summary, capability, requires, trigger string) string {
	const asked = "/var/lib/rpm-state/kernel/depmod-%{KVERREL}+64k-debug"
	sub = "64k-debug-" + sub
	return "%package " + sub + "\n" +
		"Summary: " + summary + "\n" +
		"Provides: installonlypkg(kernel-module)\n" +
		"Provides: %{name}-" + sub + "-uname-r = " + capability + "\n" +
		"Requires: %{name}-uname-r = " + capability + "\n" +
		requires +
		"Requires(post): coreutils\n" +
		"Requires(posttrans): coreutils kmod\n" +
		"Requires: kmod\n" +
		"AutoReq: no\n" +
		"AutoProv: yes\n\n" +
		"%description " + sub + "\n" +
		summary + ", for Linux %{KVERREL}+64k-debug.\n\n" +
		"%post " + sub + "\n" +
		"mkdir -p /var/lib/rpm-state/kernel && touch " + asked + "\n\n" +
		"%posttrans " + sub + "\n" +
		"if [ -e " + asked + " ]; then\n" +
		"    rm -f " + asked + "\n" +
		"    /usr/sbin/depmod -a %{KVERREL}+64k-debug\n" +
		"fi\n\n" +
		trigger +
		"%files " + sub + " -f %{kernel_split}/" + sub + ".list\n\n"
}

func TestWriteRefuses(t *testing.T) {
	split := &kernelsplit.Split{Release: release}
	parent := t.TempDir()
	there := filepath.Join(parent, "there")
	if err := split.Write(there); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		there:                                  "cannot write split: " + there + " is there already",
		filepath.Join(parent, "no", "such"):    "no such file or directory",
		filepath.Join(there, "modules.list/x"): "not a directory",
	} {
		if err := split.Write(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", dir, err, want)
		}
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
