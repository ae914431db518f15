// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"driverd/hwdetect"
	"driverd/lab"
)

// TestWholeDevice plugs in a USB controller with a disk, when no package is installed:
// the disk is there without a hand, before depmod is through.
func TestWholeDevice(t *testing.T) {
	t.Parallel()
	g := resume(t, lab.Options{})
	usb := g.plug("usb", "qemu-xhci")
	if err := g.vm.PlugBelow(g.patient(), lab.USBStorage("stick", "usb")); err != nil {
		t.Fatal(err)
	}
	g.early(usb, "xhci_hcd", 1)
	g.hasDisk(usb)

	t.Run("another disk", func(t *testing.T) {
		g := g.in(t)
		if err := g.vm.PlugBelow(g.patient(), lab.USBStorage("second", "usb")); err != nil {
			t.Fatal(err)
		}
		g.until("[ $(ls -d /sys/bus/pci/devices/%s/usb*/*/*/host*/target*/*/block/* | wc -l) = 2 ]", usb)
		g.showsWhole(usb, func(s lab.Shown) bool { return len(s.Functions) == 2 })
	})

	t.Run("a module that came before depmod knew of it", func(t *testing.T) {
		g := g.in(t)
		steps := g.loadSteps(usb)
		g.unplug("second")
		g.unplug("stick")
		// uas claims the disk as well, and is nothing without the other.
		g.sh("set -e; modprobe -r uas usb-storage; cd /lib/modules/$(uname -r); mv $(find . -name 'usb-storage.ko*' -o -name 'uas.ko*') /root; depmod")
		if err := g.vm.PlugBelow(g.patient(), lab.USBStorage("stick", "usb")); err != nil {
			t.Fatal(err)
		}
		g.showsWhole(usb, func(s lab.Shown) bool { c := childOf(s, "usb:v46F4"); return c.path != "" && c.driver == "" })
		g.sh("cd /lib/modules/$(uname -r); mv /root/*.ko* kernel/drivers/usb/storage; depmod")
		g.hasDisk(usb)
		if now := g.loadSteps(usb); now > steps+2 {
			t.Errorf("it took %d load steps", now-steps)
		}
	})

	t.Run("a network card", func(t *testing.T) {
		g := g.in(t)
		nic := g.plug("nic", "igb")
		g.bound(nic, "igb")
		name := "net/" + g.sh("udevadm settle; ls /sys/bus/pci/devices/%s/net", nic) // udev renames it
		g.showsWhole(nic, func(s lab.Shown) bool { return slices.Equal(s.Functions, []string{name}) })
		g.sh("ip link set %s up", strings.TrimPrefix(name, "net/"))
		g.until("driverd status | grep 'igb: %s, up'", name)
		if got := g.loadSteps(nic); got != 1 {
			t.Errorf("%d load steps", got)
		}
	})
	g.healthy()
}

// TestWholeDeviceAtBoot has the controllers there when the guest starts, and the service
// start late: the disk and the codec get their drivers all the same.
func TestWholeDeviceAtBoot(t *testing.T) {
	t.Parallel()
	g := boot(t, lab.Options{}, lab.Start{
		Devices: []lab.Device{{ID: "usb", Driver: "qemu-xhci"}, lab.USBStorage("stick", "usb"), {ID: "sound", Driver: "intel-hda"}, lab.HDACodec("codec", "sound")},
		Files:   map[string]string{"etc/systemd/system/driverd.service.d/late.conf": "[Service]\nExecStartPre=/bin/sleep 10\n"},
	})
	usb, sound := g.slot("usb"), g.slot("sound")
	g.bound(usb, "xhci_hcd")
	g.bound(sound, "snd_hda_intel")
	g.hasDisk(usb)
	s := g.showsWhole(sound, func(s lab.Shown) bool { return childOf(s, "hdaudio:").driver != "" })
	if !strings.HasPrefix(childOf(s, "hdaudio:").driver, "snd_hda_codec") {
		t.Errorf("children %v", s.Children)
	}
	g.sh("grep -q HDA-Intel /proc/asound/cards")
	g.healthy()
}

// child is one child that is shown.
type child struct{ path, modalias, driver string }

// childOf is the child whose modalias begins so.
func childOf(s lab.Shown, modalias string) child {
	for _, c := range s.Children {
		if strings.HasPrefix(c[1], modalias) {
			return child{c[0], c[1], c[2]}
		}
	}
	return child{}
}

// isComplete says whether all that a device consists of is there.
func isComplete(s lab.Shown) bool {
	return slices.ContainsFunc(s.Timeline, func(step lab.Step) bool { return step.Name == "complete" })
}

// showsWhole waits until the device in a slot is complete, and shown as it is to be.
func (s system) showsWhole(slot hwdetect.Slot, is func(lab.Shown) bool) lab.Shown {
	s.Helper()
	ctx := s.patient()
	var last lab.Shown
	for {
		shown, err := s.os.Shown(ctx, slot)
		if err != nil {
			s.Fatal(err)
		}
		if last = shown; isComplete(shown) && is(shown) {
			return shown
		}
		select {
		case <-ctx.Done():
			s.Fatalf("%s is shown as %+v", slot, last)
		case <-time.After(time.Second):
		}
	}
}

// hasDisk waits until the USB disk in a slot's controller is there, and is shown.
func (g guest) hasDisk(slot hwdetect.Slot) {
	g.Helper()
	g.until("ls -d /sys/bus/pci/devices/%s/usb*/*/*/host*/target*/*/block/sd*", slot)
	s := g.showsWhole(slot, func(s lab.Shown) bool {
		return slices.ContainsFunc(s.Functions, func(f string) bool { return strings.HasPrefix(f, "block/sd") })
	})
	if s.Message != "" || childOf(s, "usb:v46F4").driver != "usb-storage" || childOf(s, "scsi:").driver != "sd" {
		g.Errorf("shown: %+v", s)
	}
}

// loadSteps is how many load steps were run for a slot.
func (g guest) loadSteps(slot hwdetect.Slot) int {
	g.Helper()
	return g.lines("journalctl -b -q -o cat -u driverd-load@%s.service | grep ^Finished || true", slot)
}
