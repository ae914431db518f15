// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
)

// attributeSize is the most that an attribute can hold: sysfs gives each one
// page (Linux: Documentation/filesystems/sysfs.rst).
const attributeSize = 4096

// noOverride is how the kernel prints a driver_override that is not set
// (driver_override_show in drivers/pci/pci-sysfs.c).
const noOverride = "(null)"

// read reads the device in slot. The error is fs.ErrNotExist if it is not
// there, or went away meanwhile; everything else is a Problem of the device.
func read(root *os.Root, slot hwdetect.Slot) (hwdetect.Device, error) {
	name := path.Join(devicesDir, slot.String())
	dev := hwdetect.Device{Slot: slot}
	dir, err := root.OpenRoot(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hwdetect.Device{}, fs.ErrNotExist
	case err != nil:
		dev.Problem = fmt.Errorf("cannot open the device's directory: %w", err)
		return dev, nil
	}
	defer closeRead(dir)

	r := reader{dir: dir}
	dev.Vendor = uint16(r.hex("vendor", 16))
	dev.Product = uint16(r.hex("device", 16))
	dev.SubVendor = uint16(r.hex("subsystem_vendor", 16))
	dev.SubProduct = uint16(r.hex("subsystem_device", 16))
	dev.Class = uint32(r.hex("class", 24))
	dev.Modalias = r.modalias()
	dev.Driver = r.driver()
	dev.DriverOverride = r.override()
	dev.PhysFn = r.physFn()
	dev.Problem = r.problem

	// The files of a device that goes away vanish one by one, or answer
	// ENODEV: a problem of a device that is gone is none.
	if dev.Problem != nil {
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return hwdetect.Device{}, fs.ErrNotExist
		}
	}
	return dev, nil
}

// reader reads the attributes of one device and keeps the first problem.
type reader struct {
	dir     *os.Root
	problem error
}

func (r *reader) fail(name string, err error) {
	if r.problem == nil {
		r.problem = fmt.Errorf("cannot read %s: %w", name, err)
	}
}

// text reads an attribute without its trailing newline.
func (r *reader) text(name string) (string, error) {
	// A recorded tree may hold a FIFO by that name: do not wait for its writer.
	f, err := r.dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer closeRead(f)
	if info, err := f.Stat(); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file")
	}
	// Not one byte more than an attribute can hold and the one that tells.
	data, err := io.ReadAll(io.LimitReader(f, attributeSize+1))
	if err != nil {
		return "", err
	}
	if len(data) > attributeSize {
		return "", fmt.Errorf("longer than %d bytes", attributeSize)
	}
	return strings.TrimSuffix(string(data), "\n"), nil
}

// hex reads a number as sysfs prints it, "0x8086".
func (r *reader) hex(name string, bits int) uint64 {
	text, err := r.text(name)
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

func (r *reader) modalias() string {
	const name = "modalias"
	text, err := r.text(name)
	if err == nil {
		_, err = modalias.Parse(text)
	}
	if err != nil {
		r.fail(name, err)
		return ""
	}
	return text
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
	text, err := r.text(name)
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

// link returns the last element of where a link points to, empty if there is
// no such link. The rest of the way is of no interest, and is not followed.
func (r *reader) link(name string) string {
	target, err := r.dir.Readlink(name)
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
