// SPDX-License-Identifier: Apache-2.0

package hwdetect

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Slot is the address of a PCI function: domain, bus, device and function, as
// in "0000:01:00.0" (Linux: pci_setup_device in drivers/pci/probe.c). The
// domain is part of the identity: Hyper-V gives every passed-through device a
// domain of its own. It compares with ==.
type Slot struct {
	Domain   uint32
	Bus      uint8
	Device   uint8 // 0 to 31
	Function uint8 // 0 to 7
}

// ParseSlot reads the canonical form that sysfs uses: four to eight hex digits
// of domain, two of bus, two of device, one of function. Anything else, upper
// case and a missing domain included, is an error: one slot has one spelling.
func ParseSlot(s string) (Slot, error) {
	bad := func() (Slot, error) {
		return Slot{}, fmt.Errorf("cannot read %.80q as a PCI slot: want a form like 0000:01:00.0", s)
	}
	head, function, ok := strings.Cut(s, ".")
	parts := strings.Split(head, ":")
	if !ok || len(parts) != 3 {
		return bad()
	}
	var slot Slot
	for _, f := range []struct {
		text     string
		bits     int
		min, max int
		set      func(uint64)
	}{
		{parts[0], 32, 4, 8, func(v uint64) { slot.Domain = uint32(v) }},
		{parts[1], 8, 2, 2, func(v uint64) { slot.Bus = uint8(v) }},
		{parts[2], 5, 2, 2, func(v uint64) { slot.Device = uint8(v) }},
		{function, 3, 1, 1, func(v uint64) { slot.Function = uint8(v) }},
	} {
		v, err := strconv.ParseUint(f.text, 16, f.bits)
		if err != nil || len(f.text) < f.min || len(f.text) > f.max {
			return bad()
		}
		f.set(v)
	}
	if slot.String() != s {
		return bad()
	}
	return slot, nil
}

// String returns the form that sysfs uses.
func (s Slot) String() string {
	return fmt.Sprintf("%04x:%02x:%02x.%x", s.Domain, s.Bus, s.Device, s.Function)
}

// Compare orders slots by domain, bus, device and function.
func (s Slot) Compare(other Slot) int {
	return cmp.Or(
		cmp.Compare(s.Domain, other.Domain),
		cmp.Compare(s.Bus, other.Bus),
		cmp.Compare(s.Device, other.Device),
		cmp.Compare(s.Function, other.Function),
	)
}
