// SPDX-License-Identifier: Apache-2.0

// Package load loads the modules of one device: Step is the privileged step
// itself, run by driverd-load@SLOT.service; Units asks systemd to start it.
package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/sysfs"
	"driverd/reason"
)

// Step loads the modules that claim the device in slot. It believes nobody:
// the identity of the device is read from sysfs, and modprobe(8) finds the
// modules by it in the index of the running kernel, so that whoever starts the
// step can at worst load the right driver. It is done, with nothing to do, if
// the device is gone or has a driver.
func Step(ctx context.Context, release string, slot hwdetect.Slot) error {
	device, err := sysfs.New("/").Device(slot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if device.Driver != "" {
		return nil
	}
	if device.DriverOverride != "" {
		return reason.With(reason.DriverOverride,
			fmt.Errorf("cannot load a driver for %s: driver_override reserves it for %q", slot, device.DriverOverride))
	}
	dir, root := filepath.Join("/lib/modules", release), "/"
	var modules []string
	if device.Modalias != "" {
		if modules, err = kmod.Installed(dir, device.Modalias); err != nil {
			return err
		}
	}
	if len(modules) == 0 {
		early, err := PrepareEarly(ctx, dir, device.Modalias)
		if err != nil {
			return reason.With(reason.NoDriver, fmt.Errorf("cannot load a driver for %s: no installed module claims it: %w", slot, err))
		}
		defer func() { _ = early.Close() }() // systemd removes what is left
		root, modules = early.Root, early.Modules
	}
	if disabled, err := os.ReadFile("/proc/sys/kernel/modules_disabled"); err == nil && strings.TrimSpace(string(disabled)) == "1" {
		return reason.With(reason.ModulesDisabled, fmt.Errorf("cannot load %s: kernel.modules_disabled is 1", strings.Join(modules, " ")))
	}
	if err := modprobe(ctx, root, device.Modalias); err != nil {
		return err
	}
	// modprobe -b passes over a blacklisted module without a word.
	if !slices.ContainsFunc(modules, func(m string) bool { return kmod.Loaded("/", m) }) {
		return reason.With(reason.Blacklisted, fmt.Errorf("cannot load %s: blacklisted", strings.Join(modules, " ")))
	}
	return nil
}

// environment is all that kmod's commands get of ours.
var environment = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}

// modprobe loads every module of a module root that claims modalias, as udev
// does, under the law of modprobe.d(5).
func modprobe(ctx context.Context, root, modalias string) error {
	command := exec.CommandContext(ctx, "/sbin/modprobe", "--dirname", root, "--use-blacklist", "--", modalias)
	command.Env = environment
	output, err := command.CombinedOutput()
	if err == nil {
		return nil
	}
	r := reason.ProbeFailed
	if strings.Contains(string(output), "Key was rejected by service") { // strerror(EKEYREJECTED)
		r = reason.KeyRejected
	}
	return reason.With(r, fmt.Errorf("cannot load the module for %s: modprobe: %w: %s",
		modalias, err, strings.TrimSpace(string(output))))
}
