// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"context"
	"debug/elf"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/lab"
)

// e1000eData asks, by user-data, for the driver of a card that is not there.
const e1000eData = `#cloud-config
write_files:
- path: /etc/driverd/preinstall.d/50-owner.toml
  content: |
    install = ["8086:10d3"]
`

// otherImage builds driverd's packages for another architecture, the service and what
// cloud-init starts, and the image of a guest with both.
func otherImage(t *testing.T, arch lab.Architecture, machine elf.Machine, build func(context.Context, ...string) (*lab.Image, error)) *lab.Image {
	t.Helper()
	if err := arch.PrepareGuest(t.Context()); err != nil {
		t.Fatal(err)
	}
	command(t, "../../packaging/build-rpm", "-a", arch.RPM) // nothing if they are there
	dir := filepath.Join("../../dist", arch.RPM)
	service := onePackage(t, dir, "driverd-[0-9]*."+arch.RPM+".rpm")
	portable(t, service, machine, "/lib/"+arch.Loader)
	image, err := build(t.Context(), service, onePackage(t, dir, "driverd-cloud-init-*.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// portable sees that the program in a package is one for a processor that finds this loader
// and its libraries on any such machine, though it was linked on another.
func portable(t *testing.T, rpm string, machine elf.Machine, want string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "driverd")
	command(t, "sh", "-c", `rpm2cpio "$1" | cpio -i --quiet --to-stdout ./usr/bin/driverd >"$2"`, "sh", rpm, file)
	program, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	if program.Machine != machine || program.Type != elf.ET_DYN {
		t.Errorf("it is of type %s for %s, want one for %s that can lie anywhere in memory", program.Type, program.Machine, machine)
	}
	loader, err := io.ReadAll(program.Section(".interp").Open())
	if err != nil || string(loader) != want+"\x00" {
		t.Errorf("its loader is %q, %v, want %q", loader, err, want)
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		if got, err := program.DynString(tag); err != nil || len(got) > 0 {
			t.Errorf("%s: %v, %v, want none", tag, got, err)
		}
	}
	libraries, err := program.ImportedLibraries()
	if err != nil || !slices.Contains(libraries, "libudev.so.1") {
		t.Errorf("it needs %v, %v", libraries, err)
	}
}

// TestARM64 has a guest of AArch64, which a device tree describes, do the main job. It
// knows two variants of its kernel, and boots one after the other.
func TestARM64(t *testing.T) {
	t.Parallel()
	image := otherImage(t, lab.AArch64, elf.EM_AARCH64, lab.BuildARM64Image)
	large, err := lab.WithLargePages(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, lab.Options{Image: image}, lab.Start{Machine: lab.Virt, Files: lab.NoCloud(e1000eData, "")})
	g.sh("test -e /sys/firmware/devicetree/base && test ! -e /sys/firmware/acpi")
	mainJobElsewhere(t, g, lab.AArch64, image)

	t.Run("the kernel with large pages", func(t *testing.T) {
		g := g.in(t)
		if err := g.vm.RebootInto(g.patient(), large); err != nil {
			t.Fatal(err)
		}
		g.booted()
		g.runs(large.Release)
		g.variantOf("passthrough", "kernel-64k-modules-passthrough", "kernel-modules-passthrough")
		nic := g.plug("other", "igb")
		g.completed(nic, "igb")
		g.variantOf("sriov", "kernel-64k-modules-sriov", "kernel-modules-sriov")
		t.Log(g.sh("driverd; driverd history"))
	})

	g.sh("systemctl is-active -q driverd.service")
	g.ranThrough()
}

// TestI686 has a guest of 32 bits do the main job. Debian has dnf5daemon for 64 bits alone:
// an emulator runs it in the guest.
func TestI686(t *testing.T) {
	t.Parallel()
	image := otherImage(t, lab.I386, elf.EM_386, lab.BuildI686Image)
	g := boot(t, lab.Options{Image: image}, lab.Start{Files: lab.NoCloud(e1000eData, "")})
	mainJobElsewhere(t, g, lab.I386, image)
	g.sh("systemctl is-active -q driverd.service")
	g.ranThrough()
}

// mainJobElsewhere has a guest of another architecture do the main job, from its first boot
// on, which e1000eData is for.
func mainJobElsewhere(t *testing.T, g guest, arch lab.Architecture, image *lab.Image) {
	t.Run("preinstall at the first boot", func(t *testing.T) {
		g := g.in(t)
		g.booted()
		g.runs(image.Release)
		g.sh("test $(uname -m) = %s", arch.RPM)
		g.sh("systemctl is-active driverd.service driverd-preinstall.service")
		g.variantOf("passthrough", "kernel-modules-passthrough")
		t.Log(said(g))
	})

	t.Run("hot-plug", func(t *testing.T) {
		g := g.in(t)
		g.bound(g.plug("preinstalled", "e1000e"), "e1000e")
		if got := g.begun(); got != 1 {
			t.Errorf("%d transactions, want that of preinstall", got)
		}
		nic := g.plug("nic", "igb")
		g.completed(nic, "igb")
		g.variantOf("sriov", "kernel-modules-sriov")
		g.bound(g.plugDevice(lab.NVMe("nvme")), "nvme")
		g.until("test -b /dev/nvme0n1")
		t.Log(g.sh("driverd; driverd history"))
	})

	t.Run("removal", func(t *testing.T) {
		g := g.in(t)
		for _, id := range []string{"nic", "nvme", "preinstalled"} {
			slot := g.slot(id)
			g.unplug(id)
			g.gone(slot)
		}
	})
}

// completed waits until driver has taken the device in slot, and all that the device needs
// is installed.
func (g guest) completed(slot hwdetect.Slot, driver string) {
	g.Helper()
	g.bound(slot, driver)
	g.idle()
	s := g.bound(slot, driver)
	if !isComplete(s) {
		g.Errorf("%s is bound and not complete: %v", slot, s.Timeline)
	}
}

// variantOf sees that the subpackages of a group are installed by these names, of any
// build.
func (g guest) variantOf(group string, want ...string) {
	g.Helper()
	got := strings.Fields(g.sh(`rpm -qa --qf '%%{NAME}\n' 'kernel*-modules-%s' | sort`, group))
	if strings.Join(got, " ") != strings.Join(want, " ") {
		g.Errorf("of the group %s are installed %v, want %v", group, got, want)
	}
}
