// SPDX-License-Identifier: Apache-2.0

// Package hwdetect holds the facts about a guest's PCI devices. Its
// subpackages find them: sysfs reads them, udev says when to look again, kmod
// knows the modules of the running kernel, modalias matches one to the other.
package hwdetect

// Device is one PCI function as sysfs showed it at one moment. The values come
// from the files of the same names (Linux: Documentation/ABI/testing/sysfs-bus-pci).
type Device struct {
	Slot       Slot
	Generation uint64 // of its stay in the slot; see Stay
	Vendor     uint16
	Product    uint16
	SubVendor  uint16
	SubProduct uint16
	Class      uint32 // 24 bits: base class, subclass, interface

	// Modalias is the identity that the kernel matches drivers against,
	// "pci:v00008086d000010C9sv...". It is empty if sysfs held none that is
	// well-formed; Problem then says so.
	Modalias string

	// Driver is the name of the bound driver, empty without one.
	Driver string

	// DriverOverride is what an administrator wrote to driver_override, empty
	// if nothing was or there is a driver.
	DriverOverride string

	// PhysFn is the physical function that this virtual function belongs to,
	// nil if the device is not a virtual function or its physical function is
	// not visible (a virtual function that was passed through).
	PhysFn *Slot

	// ProbeOff says that sriov_drivers_autoprobe of PhysFn is 0: no driver is to take this
	// virtual function, which has none.
	ProbeOff bool

	// Problem is what could not be read, nil if all was well. A device with
	// a problem is still a device: it is there, and somebody will ask for it.
	Problem error
}
