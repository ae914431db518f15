// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
)

// domain is a guest of Xen with driverd in it. Its cards have two slots: dom0's, by which they are
// given and taken, and its own.
type domain struct {
	system
	vm *lab.Domain
}

// bootDomain boots a domain that ends with the test, and waits until driverd in it is ready.
func bootDomain(t *testing.T, kind lab.DomainKind) domain {
	t.Helper()
	image := buildImage(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	start := time.Now()
	vm, err := lab.BootDomain(ctx, lab.Options{Image: image, Program: program()}, kind)
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, vm)
	d := domain{system{t, vm.System, patience}, vm}
	answered := time.Since(start)
	d.until(`driverd status --json | grep -q '"status": "ready"'`)
	_, _ = fmt.Printf("table: xen %s: the guest answers after %.0f s, and driverd is ready after %.0f s; the guest is up for %s s\n",
		kind, answered.Seconds(), time.Since(start).Seconds(), d.sh("cut -d' ' -f1 /proc/uptime"))
	return d
}

func (d domain) in(t *testing.T) domain { return domain{system{t, d.os, d.patience}, d.vm} }

// plug puts a card into the machine, and returns dom0's slot.
func (d domain) plug(card lab.Device) hwdetect.Slot {
	d.Helper()
	slot, err := d.vm.Plug(d.patient(), card)
	if err != nil {
		d.Fatal(err)
	}
	return slot
}

// attach gives the domain a card, and returns the slot that it has there.
func (d domain) attach(inDom0 hwdetect.Slot) hwdetect.Slot {
	d.Helper()
	slot, err := d.vm.Attach(d.patient(), inDom0)
	if err != nil {
		d.Fatal(err)
	}
	return slot
}

func (d domain) detach(inDom0 hwdetect.Slot) {
	d.Helper()
	if err := d.vm.Detach(d.patient(), inDom0); err != nil {
		d.Fatal(err)
	}
}

// whole waits until driver has taken the device in slot, and all that it consists of is there.
func (d domain) whole(slot hwdetect.Slot, driver string) {
	d.Helper()
	d.bound(slot, driver)
	s := d.showsWhole(slot, func(lab.Shown) bool { return true })
	for _, step := range s.Timeline {
		_, _ = fmt.Printf("table: xen %s %-12s %-10s +%6.2f s\n", slot, driver, step.Name, step.Time.Sub(s.Timeline[0].Time).Seconds())
	}
}

// manager is what driverd says of itself.
func (d domain) manager() api.Manager {
	d.Helper()
	var m api.Manager
	if err := json.Unmarshal([]byte(d.sh("driverd status --json")), &m); err != nil {
		d.Fatal(err)
	}
	return m
}

// TestXen boots guests of Xen 4.20. To one that is paravirtualized, dom0 gives cards and takes
// them. One that the processor virtualizes has no PCI device: libxl passes none through.
func TestXen(t *testing.T) {
	t.Parallel()
	t.Run("PV", func(t *testing.T) {
		d := bootDomain(t, lab.PV)
		d.isReady("xen")
		if got := d.sh("ls /sys/bus/pci/devices"); got != "" {
			t.Fatalf("it has PCI devices before it was given any: %s", got)
		}
		// Else the guest would live on what its initrd brings.
		if got := d.sh("rpm -qf --qf '%%{NAME}\\n' $(modinfo -n xen_blkfront xen_netfront xen_pcifront) | sort -u"); got != "kernel-modules-core" {
			t.Errorf("what a guest of Xen lives on is of %q", got)
		}
		nic := d.plug(lab.Device{ID: "nic", Driver: "igb"})

		t.Run("a card comes, goes, and comes again", func(t *testing.T) {
			d := d.in(t)
			slot := d.attach(nic)
			d.whole(slot, "igb")
			d.idle()
			installed := d.subpackages()
			d.detach(nic)
			d.gone(slot)
			slot = d.attach(nic)
			d.whole(slot, "igb")
			if got := d.begun(); got != 1 || installed["kernel-modules-sriov"] == "" {
				t.Errorf("%d transactions, want one; installed: %v", got, installed)
			}
		})

		t.Run("two cards at once", func(t *testing.T) {
			d := d.in(t)
			disk, raid := d.plug(lab.NVMe("disk")), d.plug(lab.Device{ID: "raid", Driver: "megasas"})
			first, second := d.attach(disk), d.attach(raid)
			d.whole(first, "nvme")
			d.whole(second, "megaraid_sas")
			d.idle()
			if got := d.begun(); got != 2 {
				t.Errorf("%d transactions, want one more", got-1)
			}
			d.detach(disk)
			d.gone(first)
			d.bound(second, "megaraid_sas")
		})

		t.Run("a card comes while the service is stopped", func(t *testing.T) {
			d := d.in(t)
			d.detach(nic)
			d.sh("systemctl stop driverd.service && modprobe -r igb && rpm -e kernel-modules-sriov")
			slot := d.attach(nic)
			d.sh("systemctl start driverd.service")
			d.whole(slot, "igb")
			d.idle()
			if got := d.begun(); got != 3 {
				t.Errorf("%d transactions, want one more", got-2)
			}
		})
		d.healthy()
	})

	t.Run("PVH", func(t *testing.T) {
		d := bootDomain(t, lab.PVH)
		d.isReady("xen")
		if got := d.sh("cat /sys/hypervisor/guest_type"); got != "PVH" {
			t.Errorf("the guest is %s", got)
		}
		if got := d.begun(); got != 0 {
			t.Errorf("%d transactions, and there is nothing to drive", got)
		}
		d.healthy()
	})
}

// isReady sees that driverd is ready, on that platform, and names the kernel that runs.
func (d domain) isReady(platform string) {
	d.Helper()
	m := d.manager()
	if m.Status != "ready" || m.Platform != platform || m.KernelRelease != d.sh("uname -r") {
		d.Errorf("driverd says of itself: %+v", m)
	}
	_, _ = fmt.Printf("table: xen, %s\n", strings.ReplaceAll(d.sh("driverd status"), "\n", "; "))
}
