// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"slices"
	"strings"
)

// bus is what an alias has before its first colon: the bus of a device. It is
// empty for a name that software asks for ("fs-ext4", "devname:loop-control").
func bus(alias string) string {
	name, _, colon := strings.Cut(alias, ":")
	if !colon || name == "devname" {
		return ""
	}
	return name
}

// cardBuses are the buses that a card is on, or that it brings with it: their
// devices appear when a card does.
var cardBuses = []string{
	"auxiliary", "bcma", "cxl", "eisa", "hdaudio", "hid", "i2c", "idxd", "ieee1394", "isa", "mdio", "mei", "mhi",
	"mmc", "pci", "pcmcia", "sdio", "sdw", "spi", "ssb", "usb",
}

// drivesCard says whether the module drives a card, or a part of one.
func (m *Module) drivesCard() bool {
	return slices.ContainsFunc(m.Aliases, func(a string) bool { return slices.Contains(cardBuses, bus(a)) })
}

// on says whether the module drives devices of that bus.
func (m *Module) on(name string) bool {
	return slices.ContainsFunc(m.Aliases, func(a string) bool { return bus(a) == name })
}

// parents lists the names of the modules that make the devices that m drives on
// the auxiliary bus: "auxiliary:PARENT.DEVICE" (Linux: auxiliary_bus.rst).
func (m *Module) parents() []string {
	var names []string
	for _, a := range m.Aliases {
		device, ok := strings.CutPrefix(a, "auxiliary:")
		parent, _, dot := strings.Cut(device, ".")
		if ok && dot && !slices.Contains(names, parent) {
			names = append(names, parent)
		}
	}
	return names
}

// pciKeys are the fields of a PCI alias, in their order (Linux:
// scripts/mod/file2alias.c).
var pciKeys = []string{"v", "d", "sv", "sd", "bc", "sc", "i"}

// pciClaim is a PCI alias: one value for each of pciKeys, "*" for any.
type pciClaim [7]string

// parsePCI reads an alias of the form that the kernel's build writes. A few
// modules have aliases of their own form ("pci:hns-nic"), which match nothing.
func parsePCI(alias string) (claim pciClaim, ok bool) {
	rest, ok := strings.CutPrefix(alias, "pci:")
	if !ok {
		return claim, false
	}
	for i, key := range pciKeys {
		if rest, ok = strings.CutPrefix(rest, key); !ok {
			return claim, false
		}
		end := len(rest)
		if i+1 < len(pciKeys) {
			if end = strings.Index(rest, pciKeys[i+1]); end < 0 {
				return claim, false
			}
		}
		claim[i], rest = rest[:end], rest[end:]
		if claim[i] != "*" { // "i00*": what the class ends with may be left out
			claim[i] = strings.TrimSuffix(claim[i], "*")
		}
	}
	return claim, true
}

// namesDevice says whether the claim is for devices of certain ids, rather than
// for all of a class.
func (c pciClaim) namesDevice() bool { return c[1] != "*" }

// meets says whether there can be a device that both claims match.
func (c pciClaim) meets(other pciClaim) bool {
	for i := range c {
		if c[i] != "*" && other[i] != "*" && c[i] != other[i] {
			return false
		}
	}
	return true
}
