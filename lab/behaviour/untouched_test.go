// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import "strings"

// watchLifeline notes from now on what the kernel does with the disk that carries
// the root file system and with the only way to the network. What it returns sees
// that nothing was done to them, although something was to another device.
func (g guest) watchLifeline() (intact func(g guest, other string)) {
	g.Helper()
	const slots = "for d in block/vda net/lab0; do basename $(dirname $(realpath /sys/class/$d/device)); done"
	const carrier = "cat /sys/class/net/lab0/carrier_changes"
	g.until("ip -br address show lab0 | grep 10.0.2.15") // which udev has just named and set up
	lifeline, changes := g.sh(slots), g.sh(carrier)
	g.sh("systemd-run -q --unit=kernel-events --property=StandardOutput=file:/run/kernel-events udevadm monitor --kernel --subsystem-match=pci")
	g.until("udevadm trigger --action=change /sys/bus/pci/devices/0000:00:00.0; grep -q KERNEL /run/kernel-events")
	return func(g guest, other string) {
		g.Helper()
		if got := g.sh(slots); got != lifeline {
			g.Errorf("disk and network card are at %s, were at %s", got, lifeline)
		}
		if got := g.sh(carrier); got != changes {
			g.Errorf("the link has gone up and down: %s changes of it, were %s", got, changes)
		}
		const undone = "grep -E '\\] (unbind|remove) ' /run/kernel-events | grep -E '%s' || true"
		if got := g.sh(undone, strings.Join(strings.Fields(lifeline), "|")); got != "" {
			g.Errorf("this was done to them:\n%s", got)
		}
		if g.sh(undone, other) == "" {
			g.Errorf("of %s nothing was noted: nobody was listening", other)
		}
	}
}
