// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"maps"
	"slices"
	"strings"
)

// Index returns the index that driverd ships, for kernels whose packages do not say
// which devices they drive: which module of several kernels claims which PCI device,
// and which firmware it asks for. It has the form of CatalogFile, but its modules are
// those of all trees, ordered by name, and it says of them only this. The same trees
// make the same text, whatever their order.
func Index(trees ...*Tree) string {
	var releases []string
	all := make(map[string]*Module)
	for _, t := range trees {
		releases = append(releases, t.Release)
		for _, m := range t.Modules {
			known := all[m.Name()]
			if known == nil {
				known = &Module{}
				all[m.Name()] = known
			}
			known.Depends = append(known.Depends, m.Depends...)
			known.Firmware = append(known.Firmware, m.Firmware...)
			known.Aliases = append(known.Aliases, m.Aliases...)
		}
	}
	slices.Sort(releases)
	var text stanzas
	text.head("Debian's Linux " + strings.Join(releases, ", "))
	drivers, libraries := pciDrivers(all)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		m := all[name]
		if !drivers[name] && !libraries[name] {
			continue
		}
		text.module(name)
		if drivers[name] {
			text.lines("depends", set(m.Depends, func(d string) bool { return libraries[d] })...)
		}
		text.lines("firmware", set(m.Firmware, func(string) bool { return true })...)
		text.lines("alias", set(m.Aliases, isPCI)...)
	}
	return text.String() + indexEnd
}

// pciDrivers returns the modules that claim PCI devices, and those that they depend on
// and that ask for firmware.
func pciDrivers(all map[string]*Module) (drivers, libraries map[string]bool) {
	drivers, libraries = make(map[string]bool), make(map[string]bool)
	for name, m := range all {
		if !m.on("pci") {
			continue
		}
		drivers[name] = true
		for _, d := range m.Depends {
			if library := all[d]; library != nil && len(library.Firmware) > 0 {
				libraries[d] = true
			}
		}
	}
	return drivers, libraries
}

func isPCI(alias string) bool { return bus(alias) == "pci" }

// set returns those of the values that are wanted, sorted, each once.
func set(values []string, wanted func(string) bool) []string {
	kept := slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !wanted(v) })
	slices.Sort(kept)
	return slices.Compact(kept)
}
