// SPDX-License-Identifier: Apache-2.0

// Package sysfs reads the PCI devices of a guest from /sys, or from a recorded
// tree of the same shape.
package sysfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"driverd/hwdetect"
)

// devicesDir holds one link per PCI function, named after its slot, relative to
// the root (Linux: Documentation/ABI/testing/sysfs-bus-pci).
const devicesDir = "sys/bus/pci/devices"

// ErrNoPCI says that the kernel has no PCI bus, or that its sysfs is not mounted.
var ErrNoPCI = errors.New("no PCI bus in sysfs")

// Scanner reads PCI devices under one root. It keeps nothing between calls, and
// follows no link out of its root, nor an attribute out of its device.
type Scanner struct {
	root string
}

// New returns a scanner of root/sys; root is "/" for the running system.
func New(root string) *Scanner {
	return &Scanner{root: root}
}

// Devices reads every PCI device, sorted by slot. A device that goes away while
// it is read is left out. What else is wrong with a device is its Problem, and
// no error: one broken device must not hide the others. Names that are no slot
// are ignored.
//
// The error is ErrNoPCI if there is no bus to look at.
func (s *Scanner) Devices() ([]hwdetect.Device, error) {
	root, slots, err := s.list()
	if err != nil {
		return nil, fmt.Errorf("cannot list PCI devices: %w", err)
	}
	defer root.close()

	devices := make([]hwdetect.Device, 0, len(slots))
	buffer := newBuffer()
	for _, slot := range slots {
		if dev, err := read(root, slot, buffer); err == nil {
			devices = append(devices, dev)
		}
	}
	return devices, nil
}

// Device reads the device in one slot. The error is fs.ErrNotExist if there is
// none, or none any more.
func (s *Scanner) Device(slot hwdetect.Slot) (hwdetect.Device, error) {
	root, err := openRoot(s.root)
	if err != nil {
		return hwdetect.Device{}, fmt.Errorf("cannot read PCI device %s: %w", slot, err)
	}
	defer root.close()
	dev, err := read(root, slot, newBuffer())
	if err != nil {
		return hwdetect.Device{}, fmt.Errorf("cannot read PCI device %s: %w", slot, err)
	}
	return dev, nil
}

// list opens the root and lists the slots in it, sorted.
func (s *Scanner) list() (folder, []hwdetect.Slot, error) {
	root, err := openRoot(s.root)
	if err != nil {
		return root, nil, err
	}
	names, err := readNames(root, devicesDir)
	if err != nil {
		root.close()
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNoPCI
		}
		return root, nil, err
	}
	var slots []hwdetect.Slot
	for _, name := range names {
		if slot, err := hwdetect.ParseSlot(name); err == nil {
			slots = append(slots, slot)
		}
	}
	slices.SortFunc(slots, hwdetect.Slot.Compare)
	return root, slots, nil
}

func readNames(root folder, dir string) ([]string, error) {
	d, err := root.open(dir)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(d.fd), dir)
	defer func() { _ = f.Close() }() // only read: nothing can be lost
	return f.Readdirnames(-1)
}
