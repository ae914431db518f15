// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
)

// Attributes and Links are the names of a device's files that are read.
var (
	Attributes = []string{"modalias", "class", "vendor", "device", "subsystem_vendor", "subsystem_device", "driver_override", autoprobe}
	Links      = []string{"driver", "physfn"}
)

// autoprobe of a physical function says whether its virtual functions get drivers.
const autoprobe = "sriov_drivers_autoprobe"

// noOverride is how the kernel prints a driver_override that is not set
// (driver_override_show in drivers/pci/pci-sysfs.c).
const noOverride = "(null)"

// read reads the device in slot. The error is fs.ErrNotExist if it is not
// there, or went away meanwhile; everything else is a Problem of the device.
func read(root folder, slot hwdetect.Slot, buffer []byte) (hwdetect.Device, error) {
	name := path.Join(devicesDir, slot.String())
	dev := hwdetect.Device{Slot: slot}
	dir, err := root.open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hwdetect.Device{}, fs.ErrNotExist
	case err != nil:
		dev.Problem = fmt.Errorf("cannot open the device's directory: %w", err)
		return dev, nil
	}
	defer dir.close()
	var folder unix.Stat_t
	if err := unix.Fstat(dir.fd, &folder); err == nil {
		dev.Generation = folder.Ino
	}

	r := reader{dir: dir, buffer: buffer}
	r.identify(&dev)
	dev.Driver = r.driver()
	if dev.Driver == "" {
		// Reading it waits for the device's lock, which a driver has while it
		// probes: for a minute, if its hardware is slow. By then it has its link.
		dev.DriverOverride = r.override()
	}
	if dev.PhysFn = r.physFn(); dev.PhysFn != nil && dev.Driver == "" {
		dev.ProbeOff = r.probeOff(root, *dev.PhysFn)
	}
	dev.Problem = r.problem

	// The files of a device that goes away vanish one by one, or answer
	// ENODEV: a problem of a device that is gone is none.
	if dev.Problem != nil {
		var info unix.Stat_t
		if err := unix.Fstatat(root.fd, name, &info, unix.AT_SYMLINK_NOFOLLOW); errors.Is(err, fs.ErrNotExist) {
			return hwdetect.Device{}, fs.ErrNotExist
		}
	}
	return dev, nil
}

// reader reads the attributes of one device and keeps the first problem.
type reader struct {
	dir     folder
	buffer  []byte
	problem error
}

func (r *reader) fail(name string, err error) {
	if r.problem == nil {
		r.problem = fmt.Errorf("cannot read %s: %w", name, err)
	}
}

// hex reads a number as sysfs prints it, "0x8086".
func (r *reader) hex(name string, bits int) uint64 {
	text, err := r.dir.text(name, r.buffer)
	if err != nil {
		r.fail(name, err)
		return 0
	}
	digits, ok := strings.CutPrefix(text, "0x")
	value, err := strconv.ParseUint(digits, 16, bits)
	if !ok || err != nil {
		r.fail(name, fmt.Errorf("%.20q is not a hexadecimal number of %d bits", text, bits))
		return 0
	}
	return value
}

// identify reads who the device is. The kernel makes its modalias of the same
// numbers as the files that hold one each; those are read only where it is not
// well-formed, for opening a file is most of what reading it costs.
func (r *reader) identify(dev *hwdetect.Device) {
	const name = "modalias"
	text, err := r.dir.text(name, r.buffer)
	var id modalias.ID
	if err == nil {
		id, err = modalias.Parse(text)
	}
	if err != nil {
		r.fail(name, err)
		dev.Vendor = uint16(r.hex("vendor", 16))
		dev.Product = uint16(r.hex("device", 16))
		dev.SubVendor = uint16(r.hex("subsystem_vendor", 16))
		dev.SubProduct = uint16(r.hex("subsystem_device", 16))
		dev.Class = uint32(r.hex("class", 24))
		return
	}
	dev.Modalias = text
	dev.Vendor, dev.Product = uint16(id.Vendor), uint16(id.Product)
	dev.SubVendor, dev.SubProduct = uint16(id.SubVendor), uint16(id.SubProduct)
	dev.Class = uint32(id.Class)<<16 | uint32(id.SubClass)<<8 | uint32(id.Interface)
}

func (r *reader) driver() string {
	name := r.link("driver")
	if !isName(name) {
		r.fail("driver", fmt.Errorf("%.80q is not the name of a driver", name))
		return ""
	}
	return name
}

func (r *reader) override() string {
	const name = "driver_override"
	text, err := r.dir.text(name, r.buffer)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && text == noOverride:
		return ""
	case err != nil:
		r.fail(name, err)
		return ""
	case !isName(text):
		r.fail(name, fmt.Errorf("%.80q is not the name of a driver", text))
		return ""
	}
	return text
}

func (r *reader) physFn() *hwdetect.Slot {
	name := r.link("physfn")
	if name == "" {
		return nil
	}
	slot, err := hwdetect.ParseSlot(name)
	if err != nil {
		r.fail("physfn", err)
		return nil
	}
	return &slot
}

// probeOff reads whether a physical function keeps its virtual functions without drivers.
func (r *reader) probeOff(root folder, physFn hwdetect.Slot) bool {
	dir, err := root.open(path.Join(devicesDir, physFn.String()))
	if err != nil {
		return false // it has just gone, and its functions with it
	}
	defer dir.close()
	text, err := dir.text(autoprobe, r.buffer)
	return err == nil && text == "0"
}

// link returns the last element of where a link points to, empty if there is
// no such link. The rest of the way is of no interest, and is not followed.
func (r *reader) link(name string) string {
	target, err := r.dir.link(name, r.buffer)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.fail(name, err)
		}
		return ""
	}
	return path.Base(target)
}

// isName says whether s can be the name of a driver: what may stand in a file
// name, and in a log without doing harm there. The empty name is none at all.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '/' {
			return false
		}
	}
	return len(s) <= 255 && s != "." && s != ".."
}
