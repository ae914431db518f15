// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"driverd/api"
	"driverd/hwdetect"
	kernel "driverd/kernelsplit"
	"driverd/lab"
)

// TestFromUnsplitToSplit takes a guest from a kernel divided as Fedora does it
// today to a split one, and back: two builds side by side, driverd working for
// the one that runs.
func TestFromUnsplitToSplit(t *testing.T) {
	t.Parallel()
	old, err := lab.BuildUnsplitImage(t.Context(), rpm(t))
	if err != nil {
		t.Fatal(err)
	}
	split := buildImage(t)
	g := boot(t, lab.Options{Image: old}, lab.Start{Devices: []lab.Device{{ID: "nic", Driver: "igb"}}})
	nic := hwdetect.Slot{Bus: 1}

	t.Run("the old kernel has the card's driver in its base", func(t *testing.T) {
		g := g.in(t)
		g.runs(old.Release)
		g.bound(nic, "igb")
		g.installed("kernel-modules-core", old.Release)
		g.sh("! driverd status | grep 'next kernel'")
	})

	t.Run("dnf upgrade keeps every driver that is loaded", func(t *testing.T) {
		g := g.in(t)
		loaded := strings.Fields(g.sh("lsmod | tail -n +2 | cut -d' ' -f1"))
		g.sh("dnf5 -y upgrade")
		g.installed("kernel-core", old.Release, split.Release)
		g.installed("kernel-modules-core", old.Release, split.Release)
		for _, name := range []string{"kernel-modules-sriov", "kernel-modules-gpu", "kernel-modules-passthrough", "kernel-modules"} {
			g.installed(name, split.Release)
		}
		there := strings.Fields(g.sh("find /lib/modules/%s/kernel -name '*.ko*' -printf '%%f\\n'", split.Release))
		checked := 0
		for _, file := range wholeTree(t) {
			name := moduleName(file)
			if !slices.Contains(loaded, name) {
				continue
			}
			checked++
			if !slices.Contains(there, file) {
				t.Errorf("%s is loaded, and %s has no %s", name, split.Release, file)
			}
		}
		if checked < 10 || !slices.Contains(loaded, "igb") {
			t.Errorf("only %d of the loaded modules are modules of both kernels: %v", checked, loaded)
		}
		g.until("driverd status | grep -Fx 'next kernel %s: ready'", split.Release)
	})

	t.Run("what dnf has not brought for the next boot, driverd brings", func(t *testing.T) {
		g := g.in(t)
		g.sh("driverd mode observe; rpm -e --nodeps kernel-modules-sriov-%s", rpmVersion(split.Release))
		g.until("driverd status | tr '\\n' ' ' | tee /dev/stderr | grep -F 'next kernel %s: lacks the driver of %s'", split.Release, nic)
		g.sh("driverd mode auto")
		g.until("driverd status | grep -Fx 'next kernel %s: ready'", split.Release)
		g.installed("kernel-modules-sriov", split.Release)
		t.Log(g.sh("driverd history"))
	})

	t.Run("the new kernel drives the card, and driverd installs for the new one", func(t *testing.T) {
		g := g.in(t)
		if err := g.vm.RebootInto(g.patient(), split); err != nil {
			t.Fatal(err)
		}
		g.runs(split.Release)
		g.bound(nic, "igb")
		g.sh("! driverd status | grep 'next kernel'")
		g.sh("rpm -e --nodeps kernel-modules-%s && depmod", rpmVersion(split.Release))
		// Its packages do not say which devices they are for: the index of the
		// build names the module, and that the package.
		g.sh(`! rpm -qa --provides 'kernel-modules*%s' | grep -q '^modalias('`, rpmVersion(split.Release))
		g.until(`driverd explain --json %s | grep '"action": *"install"'`, sdhci)
		explained := g.sh("driverd explain %s", sdhci)
		for _, want := range []string{"sdhci_pci, shipped", "kernel-modules-" + rpmVersion(split.Release)} {
			if !strings.Contains(explained, want) {
				t.Errorf("no %q in\n%s", want, explained)
			}
		}
		g.bound(g.plug("card1", "sdhci-pci"), "sdhci-pci")
		g.installed("kernel-modules", split.Release)
	})

	t.Run("back in the old kernel, driverd installs the old one's package", func(t *testing.T) {
		g := g.in(t)
		if err := g.vm.RebootInto(g.patient(), old); err != nil {
			t.Fatal(err)
		}
		g.runs(old.Release)
		g.bound(nic, "igb")
		g.installed("kernel-core", old.Release, split.Release)
		slot := g.plug("card2", "sdhci-pci")
		g.bound(slot, "sdhci-pci")
		// This kernel has no index of its build: the module, and so the package,
		// is known when depmod has run, which is after the driver was loaded.
		g.until(`busctl get-property org.fedoraproject.Driverd1 %s org.fedoraproject.Driverd1.Device Packages | grep -Fx 'as 1 "kernel-modules-%s"'`,
			api.DevicePath(slot.String()), rpmVersion(old.Release))
		g.installed("kernel-modules", old.Release, split.Release)
		g.sh("systemctl is-active driverd.service")
	})
}

// sdhci is the modalias of QEMU's sdhci-pci.
const sdhci = "pci:v00001B36d00000007sv00001AF4sd00001100bc08sc05i01"

// rpmVersion is how the packages of a kernel end: VERSION-RELEASE.ARCH.
func rpmVersion(release string) string {
	return kernel.CapabilityVersion(release) + ".x86_64"
}

// runs sees that the guest runs the kernel of that release.
func (g guest) runs(release string) {
	g.Helper()
	if got := g.sh("uname -r"); got != release {
		g.Fatalf("the guest runs %s, want %s", got, release)
	}
}

// installed sees that a package is installed for exactly these kernels.
func (g guest) installed(name string, releases ...string) {
	g.Helper()
	var got []string
	for line := range strings.Lines(g.sh("rpm -q --qf '%%{version}-%%{release}\\n' %s | grep -v 'not installed' || true", name)) {
		got = append(got, strings.ReplaceAll(strings.TrimSpace(line), "_", "-"))
	}
	slices.Sort(got)
	slices.Sort(releases)
	if !slices.Equal(got, releases) {
		g.Errorf("%s is installed for %v, want %v", name, got, releases)
	}
}

// wholeTree lists the file names of all modules that the split divided.
func wholeTree(t *testing.T) []string {
	t.Helper()
	dir, err := lab.AMD64.Modules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	err = fs.WalkDir(os.DirFS(dir), "kernel", func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path.Base(file))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func moduleName(file string) string {
	name, _, _ := strings.Cut(file, ".ko")
	return strings.ReplaceAll(name, "-", "_")
}
