// SPDX-License-Identifier: Apache-2.0

// Package modalias reads the identity strings of PCI devices and matches them
// against the alias patterns of kernel modules. It does no I/O.
package modalias

import (
	"fmt"
	"strconv"
	"strings"
)

// ID is a parsed PCI modalias: what a device tells the kernel about itself, and
// what the kernel looks a driver up by.
//
// The grammar is fixed (Linux: pci_uevent in drivers/pci/pci-driver.c, and
// do_pci_entry in scripts/mod/file2alias.c for the pattern side):
//
//	pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X
type ID struct {
	Vendor     uint32
	Product    uint32
	SubVendor  uint32
	SubProduct uint32
	Class      uint8
	SubClass   uint8
	Interface  uint8
}

// Parse reads the modalias of a PCI device. It takes the kernel's spelling and
// no other: every field, full width, upper case, nothing behind it.
func Parse(s string) (ID, error) {
	var id ID
	rest := s
	for _, f := range []struct {
		key    string
		digits int
		set    func(uint64)
	}{
		{"pci:v", 8, func(v uint64) { id.Vendor = uint32(v) }},
		{"d", 8, func(v uint64) { id.Product = uint32(v) }},
		{"sv", 8, func(v uint64) { id.SubVendor = uint32(v) }},
		{"sd", 8, func(v uint64) { id.SubProduct = uint32(v) }},
		{"bc", 2, func(v uint64) { id.Class = uint8(v) }},
		{"sc", 2, func(v uint64) { id.SubClass = uint8(v) }},
		{"i", 2, func(v uint64) { id.Interface = uint8(v) }},
	} {
		text, ok := strings.CutPrefix(rest, f.key)
		if !ok || len(text) < f.digits {
			return ID{}, errForm(s)
		}
		v, err := strconv.ParseUint(text[:f.digits], 16, 32)
		if err != nil {
			return ID{}, errForm(s)
		}
		f.set(v)
		rest = text[f.digits:]
	}
	if id.String() != s {
		return ID{}, errForm(s)
	}
	return id, nil
}

func errForm(s string) error {
	return fmt.Errorf("cannot read %.80q as a PCI modalias: want a form like %s", s,
		ID{Vendor: 0x8086, Product: 0x10C9, SubVendor: 0x8086, SubProduct: 0xA03C, Class: 2})
}

// String returns the modalias as the kernel writes it.
func (id ID) String() string {
	return fmt.Sprintf("pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X",
		id.Vendor, id.Product, id.SubVendor, id.SubProduct, id.Class, id.SubClass, id.Interface)
}
