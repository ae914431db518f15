// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/sysfs"
)

// parts records what a device consists of, as far as driverd reads it: what sysfs has
// of a network interface or a disk beside its name is not for a bug report.
func (r *recorder) parts(slot hwdetect.Slot) error {
	parts, err := sysfs.New(r.Root).Parts(slot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = parts.Problem
	}
	if err != nil {
		r.lack("some of what is below %s: %v", slot, err)
	}
	below := filepath.Join(pciDevices, slot.String())
	for _, function := range parts.Functions {
		if err := r.function(below, function); err != nil {
			return err
		}
	}
	for _, child := range parts.Children {
		dir := filepath.Join(below, child.Path)
		if err := r.write(filepath.Join(dir, "modalias"), []byte(child.Modalias+"\n")); err != nil {
			return err
		}
		bus, _, _ := strings.Cut(child.Modalias, ":")
		if err := r.out.Symlink("/bus/"+bus, filepath.Join(dir, "subsystem")); err != nil {
			return err
		}
		if child.Driver == "" {
			continue
		}
		if err := r.out.Symlink("/bus/"+bus+"/drivers/"+child.Driver, filepath.Join(dir, "driver")); err != nil {
			return err
		}
	}
	return nil
}

// function records what is below a folder of a device, and which interface uses it.
func (r *recorder) function(below, function string) error {
	class, name, _ := strings.Cut(function, "/")
	twin, own, ok := strings.Cut(name, "/")
	if ok {
		name = own
	}
	dir := filepath.Join(below, class, name)
	if err := r.mkdir(dir); err != nil {
		return err
	}
	if err := r.out.Symlink("/class/"+class, filepath.Join(dir, "subsystem")); err != nil || !ok {
		return err
	}
	if err := r.mkdir(filepath.Join("sys/class/net", twin, "device")); err != nil {
		return err
	}
	return r.out.Symlink("/class/net/"+twin, filepath.Join(dir, "master"))
}
