// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
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

// TestMachines plugs cards into each other machine that QEMU emulates for PCI hot-plug.
func TestMachines(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		machine lab.Machine
		does    func(guest)
	}{
		{"native hot-plug of a root port", lab.Q35Native, func(g guest) { g.comesAndGoes(lab.Device{ID: "nic", Driver: "igb"}, "igb") }},
		{"a card with two functions", lab.I440FX, func(g guest) {
			second := lab.Device{ID: "second", Driver: "megasas", Props: map[string]any{"addr": "0x10.1"}}
			first := lab.Device{ID: "first", Driver: "e1000e", Props: map[string]any{"addr": "0x10.0", "multifunction": true}}
			g.together(second, first) // plugging in function 0 notifies the guest
			g.bound(hwdetect.Slot{Device: 0x10}, "e1000e")
			g.bound(hwdetect.Slot{Device: 0x10, Function: 1}, "megaraid_sas")
			if got := g.begun(); got != 1 {
				g.Errorf("%d transactions for one card", got)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := boot(t, lab.Options{}, lab.Start{Machine: row.machine})
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
