// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check holds the split against what guests need, whatever rules made it. The
// error joins all that is wrong, one line for each module:
//
//   - what a hypervisor's own bus asks for, and what the devices of Machines
//     need, is in the base;
//   - what is in the sriov, gpu or passthrough group has a device there that
//     fetches it;
//   - the driver of a part of a card is with the driver of the card;
//   - no two groups, base apart, have a driver for the same PCI device;
//   - no driver of a card is in the base only for something else there.
func (s *Split) Check() error {
	return errors.Join(slices.Concat(
		s.checkGuestBuses(), s.checkMachines(), s.checkFetched(), s.checkChildren(), s.checkClaims(), s.checkDragged())...)
}

// misplaced is an error about where a module is.
func (p *Placement) misplaced(format string, args ...any) error {
	return fmt.Errorf("cannot leave module %s in %s (rule %v): %s", p.Path, p.Group, p.Rule, fmt.Sprintf(format, args...))
}

// guestBuses are those that only a hypervisor has.
var guestBuses = []string{"virtio", "vmbus", "xen"}

// notOfGuests are the virtio devices that no hypervisor of Machines has: the
// simulated radio and the Bluetooth controller of user-mode Linux and emulators of
// phones (virtio-v1.2, section 5).
var notOfGuests = []string{"virtio:d0000001Dv*", "virtio:d00000028v*"}

func (s *Split) checkGuestBuses() (wrong []error) {
	for _, p := range s.Placements {
		for _, a := range p.Aliases {
			if p.Group != Base && slices.Contains(guestBuses, bus(a)) && !slices.Contains(notOfGuests, a) {
				wrong = append(wrong, p.misplaced("it drives a device of the guest's own, %s: want it in %s", a, Base))
				break
			}
		}
	}
	return wrong
}

func (s *Split) checkMachines() (wrong []error) {
	seen := make(map[MachineDevice]bool)
	for _, m := range machines {
		for _, d := range m.Devices {
			if seen[d] {
				continue
			}
			seen[d] = true
			for _, p := range s.claimants(d.Modalias) {
				if p.Group != Base {
					wrong = append(wrong, p.misplaced("it drives the %s of %s (%s): want it in %s", d.What, m.Name, d.Modalias, Base))
				}
			}
		}
	}
	return wrong
}

// bringers are symbols that only what makes devices of a bus imports. A bus that
// is not here is not on a card.
var bringers = map[string][]string{
	"cxl":     {"devm_cxl_add_memdev"},
	"hdaudio": {"snd_hda_codec_new", "snd_hdac_device_init", "azx_probe_codecs"},
	"i2c":     {"i2c_add_adapter", "i2c_bit_add_bus", "i2c_add_numbered_adapter"},
	"idxd":    {"idxd_register_driver"},
	"mdio":    {"__mdiobus_register", "__devm_mdiobus_register"},
}

// checkFetched looks at the groups that come for a device. A module there is
// fetched by a PCI device or by one that a card of the group brings; or it
// belongs to such a driver: one of the two depends on the other, or a rule names
// it.
func (s *Split) checkFetched() (wrong []error) {
	for _, g := range []Group{SRIOV, GPU, Passthrough} {
		used := make(map[*Placement]bool)
		for _, p := range s.Placements {
			if p.Group == g && (p.on("pci") || s.broughtInto(g, p) || p.Rule.names(p.Module) ||
				slices.ContainsFunc(p.needs, func(d *Placement) bool { return d.Group == g && d.drivesCard() })) {
				used[p] = true
				for _, d := range p.needs {
					used[d] = true
				}
			}
		}
		for _, p := range s.Placements {
			if p.Group == g && !used[p] {
				wrong = append(wrong, p.misplaced("no device of a card there fetches it"))
			}
		}
	}
	return wrong
}

// broughtInto says whether a card of the group makes devices that p drives.
func (s *Split) broughtInto(g Group, p *Placement) bool {
	for _, parent := range p.parents() {
		if d := s.byName[parent]; d != nil && d.Group == g {
			return true
		}
	}
	for name, symbols := range bringers {
		if p.on(name) && slices.ContainsFunc(s.Placements, func(q *Placement) bool {
			return q.Group == g && slices.ContainsFunc(q.Imports, func(i string) bool { return slices.Contains(symbols, i) })
		}) {
			return true
		}
	}
	return false
}

func (s *Split) checkChildren() (wrong []error) {
	for _, p := range s.Placements {
		for _, name := range p.parents() {
			if d := s.byName[name]; d != nil && !p.on("pci") && !d.Group.Reaches(p.Group) {
				wrong = append(wrong, p.misplaced("it drives a part of what %s in %s drives", name, d.Group))
			}
		}
	}
	return wrong
}

// checkClaims looks at all pairs of PCI aliases. One that names a device goes
// before one that names a class, so only equals are at odds.
func (s *Split) checkClaims() (wrong []error) {
	type owned struct {
		claim pciClaim
		alias string
		by    *Placement
	}
	claims := make(map[string][]owned) // by device, "*" for those of a class
	for _, p := range s.Placements {
		for _, a := range p.Aliases {
			if c, ok := parsePCI(a); ok && p.Group != Base {
				claims[c[1]] = append(claims[c[1]], owned{c, a, p})
			}
		}
	}
	said := make(map[[2]*Placement]bool)
	for _, equals := range claims {
		for i, a := range equals {
			for _, b := range equals[:i] {
				pair := [2]*Placement{a.by, b.by}
				if a.by.Group == b.by.Group || said[pair] || !a.claim.meets(b.claim) {
					continue
				}
				said[pair] = true
				wrong = append(wrong, a.by.misplaced("%s in %s claims the same device: %s and %s", b.by.Name(), b.by.Group, a.alias, b.alias))
			}
		}
	}
	slices.SortFunc(wrong, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return wrong
}

func (s *Split) checkDragged() (wrong []error) {
	for _, p := range s.Placements {
		if p.Group != Base || p.wish == Base || !p.drivesCard() {
			continue
		}
		var by []string
		for _, m := range p.Moves {
			if m.To == Base {
				by = append(by, m.For.Name())
			}
		}
		wrong = append(wrong, p.misplaced("it drives a card, and is there only for %s: give it or them a rule", strings.Join(by, ", ")))
	}
	return wrong
}
