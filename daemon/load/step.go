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
	"time"

	"golang.org/x/sys/unix"

	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/kmsg"
	"driverd/hwdetect/sysfs"
	"driverd/plan"
	"driverd/reason"
)

const (
	// probeTime is how long a driver may take to bind, from when its module was
	// loaded or its device came: some probe asynchronously.
	probeTime = 5 * time.Second
	// probePoll is how often the step looks whether it has.
	probePoll = 20 * time.Millisecond
)

// Step loads the modules that claim the device in slot, and sees whether one of
// them takes it; what the kernel has to say of that comes from log, which is
// /dev/kmsg, or nil. It believes nobody: the identity of the device is read from
// sysfs, and modprobe(8) finds the modules by it in the index of the running
// kernel, so that whoever starts the step can at worst load the right driver. A
// device that has its driver is made whole: its children get theirs, as far as the
// policy lets them. There is nothing to do if the device is gone.
func Step(ctx context.Context, release string, slot hwdetect.Slot, log *kmsg.Log, policy plan.Policy) error {
	device, err := sysfs.New("/").Device(slot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	v := Evidence{Slot: slot, Generation: device.Generation}
	v.Remember(log.Read())
	if device.Driver != "" {
		return v.makeWhole(ctx, release, log, policy)
	}
	if device.DriverOverride != "" {
		return reason.With(reason.DriverOverride,
			fmt.Errorf("cannot load a driver for %s: driver_override reserves it for %q", slot, device.DriverOverride))
	}
	if device.ProbeOff {
		return reason.With(reason.DriverOverride,
			fmt.Errorf("cannot load a driver for %s: sriov_drivers_autoprobe of %s is 0", slot, device.PhysFn))
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
	if rule := policy.DeniesDevice(device, modules); rule != nil {
		return reason.With(reason.Policy, fmt.Errorf("cannot load a driver for %s: the rule at %s denies this device", slot, rule.Origin))
	}
	v.Modules = modules
	missing := v.notLoaded()
	v.Complaint = runModprobe(ctx, root, device.Modalias)
	v.Missing = v.notLoaded()
	patience := probeTime
	if len(missing) == 0 && v.Supplied(firmware.Guest{Root: "/", Release: release}) && Offer("/", slot) {
		v.Before = nil // what there is to say has been said anew
	}
	if len(v.Missing) == len(missing) { // nothing is new but perhaps the device
		if patience -= v.age(); probeOf(slot, v.Before) != "" {
			patience = 0
		}
	}
	bound, err := v.awaitDriver(ctx, log, patience)
	if err != nil {
		return err
	}
	if bound {
		return v.makeWhole(ctx, release, log, policy)
	}
	v.look("/")
	return v.Explain()
}

// awaitDriver waits until a driver has taken the device, and says false if none
// has. It is true as well if the device is gone, or another one is in its slot.
func (v *Evidence) awaitDriver(ctx context.Context, log *kmsg.Log, patience time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	poll := time.NewTicker(probePoll)
	defer poll.Stop()
	for {
		v.Log = append(v.Log, log.Read()...) // before the look: the kernel logs a failure before it is over
		device, err := sysfs.New("/").Device(v.Slot)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && (device.Driver != "" || device.Generation != v.Generation):
			return true, nil
		case err != nil:
			return false, err
		case len(v.Missing) == len(v.Modules), patience <= 0, probeOf(v.Slot, v.Log) != "":
			return false, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false, nil
		}
	}
}

// notLoaded lists the modules that claim the device and are not loaded.
func (v *Evidence) notLoaded() []string {
	return slices.DeleteFunc(slices.Clone(v.Modules), func(m string) bool { return kmod.Loaded("/", m) })
}

// age is for how long the device has been there.
func (v *Evidence) age() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return probeTime
	}
	return time.Duration(now.Nano()) - v.came
}

// environment is all that kmod's commands get of ours.
var environment = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}

// runModprobe loads every module of a module root that claims modalias, as udev
// does, under the law of modprobe.d(5). It returns what modprobe complains of,
// empty if of nothing.
func runModprobe(ctx context.Context, root, modalias string) string {
	command := exec.CommandContext(ctx, "/sbin/modprobe", "--dirname", root, "--use-blacklist", "--", modalias)
	command.Env = environment
	output, err := command.CombinedOutput()
	if err == nil {
		return ""
	}
	complaint := strings.NewReplacer("modprobe: ERROR: ", "", "modprobe: FATAL: ", "").Replace(string(output))
	if complaint = strings.Join(strings.Split(strings.TrimSpace(complaint), "\n"), "; "); complaint == "" {
		complaint = err.Error()
	}
	return complaint
}

// look reads what of the guest tells why a module was not loaded.
func (v *Evidence) look(root string) {
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(root, name)) // what is not there says nothing
		return strings.TrimSpace(string(text))
	}
	v.Disabled = read("proc/sys/kernel/modules_disabled") == "1"
	v.Locked = strings.Contains(read("sys/kernel/security/lockdown"), "[integrity]") ||
		strings.Contains(read("sys/kernel/security/lockdown"), "[confidentiality]")
	v.Idle = read("sys/bus/pci/drivers_autoprobe") == "0"
	for word := range strings.FieldsSeq(read("proc/cmdline")) {
		if names, ok := strings.CutPrefix(word, "module_blacklist="); ok {
			v.Denied = strings.Split(names, ",") // of several, the kernel takes the last
		}
	}
}
