// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"driverd/api"
	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/daemon/config"
	"driverd/daemon/state"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/sysfs"
	"driverd/plan"
)

// explainLocally works an explanation out from the files under root: what the
// service would decide if it ran there now.
func explainLocally(what string, subject plan.Subject, root string) (api.Explanation, error) {
	device := subject.Device
	if subject.BySlot {
		var err error
		device, err = sysfs.New(root).Device(device.Slot)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return api.Explanation{}, status{exitUnknown, fmt.Errorf("there is no device in slot %s", subject.Device.Slot)}
		case err != nil:
			return api.Explanation{}, status{exitFailed, err}
		}
	}
	facts, err := localFacts(root, device.Modalias)
	if err != nil {
		return api.Explanation{}, status{exitFailed, err}
	}
	x := daemon.Explain(what, device, facts, names{}, firmware.Guest{Root: root, Release: facts.Release})
	if _, err := os.Stat(filepath.Join(root, "lib/firmware")); err != nil && filepath.Clean(root) != "/" {
		x.Firmware = nil // a record does not say which files the guest has
	}
	if subject.BySlot {
		entries, err := state.History{Dir: filepath.Join(root, stateDir)}.Read()
		if err != nil {
			return api.Explanation{}, status{exitFailed, fmt.Errorf("cannot read the history: %w", err)}
		}
		x.History = daemon.About(device.Slot, entries)
		d := x.Decision
		x.Device = &daemon.Device{
			Slot: device.Slot, Modalias: device.Modalias, Vendor: x.Vendor, Product: x.Product, Class: device.Class, Driver: device.Driver,
			Group: d.Group, State: d.State, Reason: d.Reason, Message: d.Message, Modules: d.Modules, Packages: d.Packages,
		}
	}
	// Through the form of the bus: one place says what an explanation looks like.
	return api.NewExplanation(bus.Explanation(x))
}

// localFacts reads what a decision about a device rests on.
func localFacts(root, modalias string) (plan.Facts, error) {
	release, err := releaseOf(root)
	if err != nil {
		return plan.Facts{}, err
	}
	index, err := kmod.ReadFor(filepath.Join(root, "lib/modules", release), modalias)
	if err != nil {
		return plan.Facts{}, err
	}
	configured, err := config.Load(root)
	facts := plan.Facts{
		Release: release, Kernel: index,
		Policy: configured.Policy, Observe: configured.Observe, PolicyProblem: err,
	}
	kept := filepath.Join(root, stateDir)
	if mode, err := (state.Mode{Dir: kept}).Read(); mode != "" || err != nil {
		facts.Observe = mode != daemon.Auto // as the engine takes it
	}
	packages, _, err := state.Catalogs{Dir: kept}.Load(release)
	switch {
	case err == nil:
		facts.Catalog = daemon.NewCatalog(packages)
	case !errors.Is(err, fs.ErrNotExist):
		facts.CatalogProblem = err
	}
	return facts, nil
}

// releaseOf is the kernel release that a tree is about: that of the running
// kernel for the system's own, else the only one with modules.
func releaseOf(root string) (string, error) {
	if filepath.Clean(root) == "/" {
		return kernelRelease()
	}
	dir := filepath.Join(root, "lib/modules")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("cannot tell the kernel's release: %w", err)
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("cannot tell the kernel's release: %s holds %d entries, want one", dir, len(entries))
	}
	return entries[0].Name(), nil
}
