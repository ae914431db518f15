// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"strconv"
	"testing"

	"driverd/hwdetect"
	"driverd/lab"
)

// TestConventionalPCI plugs a card into an i440FX machine: one conventional PCI bus, and
// ACPI hot-plug.
func TestConventionalPCI(t *testing.T) {
	t.Parallel()
	g := boot(t, lab.Options{}, lab.Start{Machine: lab.I440FX})
	g.comesAndGoes(lab.Device{ID: "nic", Driver: "e1000e"}, "e1000e")
	g.healthy()
}

// TestMachines has cards come and go in each other way that QEMU emulates.
func TestMachines(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		machine lab.Machine
		devices []lab.Device // there when the guest starts
		does    func(guest)
	}{
		{name: "native hot-plug of a root port", machine: lab.Q35Native, does: func(g guest) { g.comesAndGoes(lab.Device{ID: "nic", Driver: "igb"}, "igb") }},
		{
			name: "standard hot-plug controller of a bridge", machine: lab.Q35Native,
			devices: []lab.Device{lab.PCIBridge("bridge", "pcie.0", "0x10")},
			does:    func(g guest) { g.comesAndGoes(behind("bridge", "nic", "e1000e", 1), "e1000e") },
		},
		{name: "a card with two functions", machine: lab.I440FX, does: func(g guest) {
			second := lab.Device{ID: "second", Driver: "megasas", Props: map[string]any{"addr": "0x10.1"}}
			first := lab.Device{ID: "first", Driver: "e1000e", Props: map[string]any{"addr": "0x10.0", "multifunction": true}}
			g.together(second, first) // plugging in function 0 notifies the guest
			g.bothBound(hwdetect.Slot{Device: 0x10}, hwdetect.Slot{Device: 0x10, Function: 1})
		}},
		{name: "a bridge with two cards, conventional PCI", machine: lab.I440FX, does: func(g guest) { g.bridgeComesAndGoes(lab.PCIBridge("bridge", "pci.0", "0x10"), 1) }},
		{name: "a bridge with two cards, PCI Express", machine: lab.Q35, does: func(g guest) { g.bridgeComesAndGoes(lab.PCIeBridge("bridge"), 0xd) }},
		{name: "surprise removal", machine: lab.Q35Native, does: guest.surprise},
		{name: "removed and found again by hand", machine: lab.Q35, does: guest.foundAgain},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := boot(t, lab.Options{}, lab.Start{Machine: row.machine, Devices: row.devices})
			row.does(g)
			g.healthy()
		})
	}
}

// comesAndGoes plugs in a card, waits until driver has it, and takes the card out.
func (g guest) comesAndGoes(card lab.Device, driver string) {
	g.Helper()
	slot := g.plugDevice(card)
	g.bound(slot, driver)
	g.unplug(card.ID)
	g.gone(slot)
}

// together plugs in devices that the guest sees at once.
func (g guest) together(devices ...lab.Device) {
	g.Helper()
	if err := g.vm.PlugTogether(g.patient(), devices...); err != nil {
		g.Fatal(err)
	}
}

// behind is a card on the bus of a bridge.
func behind(bridge, id, driver string, addr int) lab.Device {
	return lab.Device{ID: id, Driver: driver, Port: bridge, Props: map[string]any{"addr": strconv.Itoa(addr)}}
}

// bothBound waits until both cards are bound, the first by e1000e, the second by
// megaraid_sas, after one transaction.
func (g guest) bothBound(first, second hwdetect.Slot) {
	g.Helper()
	g.bound(first, "e1000e")
	g.bound(second, "megaraid_sas")
	g.transactions(1)
}

// transactions sees that driverd has begun so many since the guest's start.
func (g guest) transactions(want int) {
	g.Helper()
	g.idle()
	if got := g.begun(); got != want {
		g.Errorf("%d transactions, want %d", got, want)
	}
}

// bridgeComesAndGoes plugs in a bridge with two cards on its bus, which the guest's kernel
// gives the number, and takes all three out.
func (g guest) bridgeComesAndGoes(bridge lab.Device, bus uint8) {
	g.Helper()
	g.together(bridge, behind(bridge.ID, "first", "e1000e", 1), behind(bridge.ID, "second", "megasas", 2))
	first, second := hwdetect.Slot{Bus: bus, Device: 1}, hwdetect.Slot{Bus: bus, Device: 2}
	g.bothBound(first, second)
	g.unplug(bridge.ID)
	g.gone(first)
	g.gone(second)
}

// surprise pulls out a card during its job and another one that is bound. Each time, the
// next card in the same slot is treated anew.
func (g guest) surprise() {
	g.Helper()
	slot := g.plug("first", "igb")
	g.await(slot, "installing")
	g.pullOut("first", slot)
	g.until("rpm -q kernel-modules-sriov") // what is under way ends well
	g.inSlot(slot, "second", "e1000e")
	g.pullOut("second", slot)
	g.inSlot(slot, "third", "igb")
	g.transactions(2)
}

// pullOut takes a card out by surprise, and waits until driverd shows it no longer.
func (g guest) pullOut(id string, slot hwdetect.Slot) {
	g.Helper()
	if err := g.vm.PullOut(g.patient(), id); err != nil {
		g.Fatal(err)
	}
	g.gone(slot)
}

// inSlot plugs in a card whose model is named like its driver, which has to come to that
// slot.
func (g guest) inSlot(slot hwdetect.Slot, id, driver string) {
	g.Helper()
	if got := g.plug(id, driver); got != slot {
		g.Fatalf("%s is at %s, want %s", id, got, slot)
	}
	g.bound(slot, driver)
}

// foundAgain removes a card from the guest's kernel and has the kernel find it again:
// during its job, and when it is bound.
func (g guest) foundAgain() {
	g.Helper()
	slot := g.plug("nic", "igb")
	for _, state := range []string{"installing", "bound"} {
		g.await(slot, state)
		g.sh("echo 1 >/sys/bus/pci/devices/%s/remove", slot)
		g.gone(slot)
		g.sh("echo 1 >/sys/bus/pci/rescan")
		g.bound(slot, "igb")
	}
	g.transactions(1)
}
