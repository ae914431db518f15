// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
)

// Subject is what somebody asks about.
type Subject struct {
	BySlot bool            // about the device in Device.Slot, of which nothing else is known yet
	Device hwdetect.Device // as far as what was asked says
}

// ParseSubject reads a slot, a modalias, or vendor and product.
func ParseSubject(what string) (Subject, error) {
	if slot, err := hwdetect.ParseSlot(what); err == nil {
		return Subject{BySlot: true, Device: hwdetect.Device{Slot: slot}}, nil
	}
	if id, err := modalias.Parse(what); err == nil {
		return Subject{Device: hwdetect.Device{
			Vendor: uint16(id.Vendor), Product: uint16(id.Product),
			SubVendor: uint16(id.SubVendor), SubProduct: uint16(id.SubProduct),
			Class:    uint32(id.Class)<<16 | uint32(id.SubClass)<<8 | uint32(id.Interface),
			Modalias: what,
		}}, nil
	}
	if vendor, product, err := modalias.ParseProduct(what); err == nil {
		return Subject{Device: hwdetect.Device{Vendor: vendor, Product: product, Modalias: modalias.Any(vendor, product)}}, nil
	}
	return Subject{}, fmt.Errorf("cannot understand %.80q: want a slot (0000:01:00.0), "+
		"a modalias (pci:v00008086d000010C9sv...) or vendor and product (8086:10c9)", what)
}
