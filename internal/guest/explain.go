// SPDX-License-Identifier: Apache-2.0

// Package guest reads from a guest's files, under a given root, what driverd has to
// know without its service: which kernel runs and which comes next, whether a gate
// is closed, and what the service would decide.
package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"driverd/api"
	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/daemon/config"
	"driverd/daemon/state"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/modprobe"
	"driverd/hwdetect/pciids"
	"driverd/hwdetect/sysfs"
	"driverd/internal/tree"
	"driverd/plan"
)

// StateDir is where the service keeps its state, below the root of a guest.
const StateDir = "var/lib/driverd"

// ErrNoDevice means that there is no device in the slot that is asked about.
var ErrNoDevice = errors.New("there is no device")

// Names finds the names of vendors and products in this system's list.
type Names struct{}

// Names returns what pciids.Names does.
func (Names) Names(vendor, product uint16) (string, string) { return pciids.Names(vendor, product) }

// Explain works an explanation out from the files under root: what the service
// would decide if it ran there now.
func Explain(what string, subject plan.Subject, root string) (api.Explanation, error) {
	device := subject.Device
	if subject.BySlot {
		var err error
		device, err = sysfs.New(root).Device(device.Slot)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return api.Explanation{}, fmt.Errorf("%w in slot %s", ErrNoDevice, subject.Device.Slot)
		case err != nil:
			return api.Explanation{}, err
		}
	}
	facts, err := readFacts(root, device.Modalias)
	if err != nil {
		return api.Explanation{}, err
	}
	x := daemon.Explain(what, device, facts, Names{}, firmware.Guest{Root: root, Release: facts.Release})
	if _, err := tree.At(root).Stat("lib/firmware"); err != nil && filepath.Clean(root) != "/" {
		x.Firmware = nil // a record does not say which files the guest has
	}
	if subject.BySlot {
		kept, err := tree.At(root).Folder(StateDir)
		if err != nil {
			return api.Explanation{}, fmt.Errorf("cannot read the history: %w", err)
		}
		history, err := state.History{Dir: kept}.Read()
		if err != nil {
			return api.Explanation{}, fmt.Errorf("cannot read the history: %w", err)
		}
		slices.Reverse(history.Entries) // the newest first
		x.History = daemon.About(device.Slot, history.Entries)
		d := x.Want
		x.Device = &daemon.Device{
			Slot: device.Slot, Modalias: device.Modalias, Vendor: x.Vendor, Product: x.Product, Class: device.Class, Driver: device.Driver,
			Group: d.Group, State: d.State, Reason: d.Reason, Message: d.Message, Modules: d.Modules, Packages: d.Packages,
		}
		if err := addParts(&x, device, facts, root); err != nil {
			return api.Explanation{}, err
		}
	}
	// Through the form of the bus: one place says what an explanation looks like.
	return api.NewExplanation(bus.Explanation(x))
}

// readFacts reads what a decision about a device rests on.
func readFacts(root, modalias string) (plan.Facts, error) {
	release, err := Kernel(root)
	if err != nil {
		return plan.Facts{}, err
	}
	modules, err := tree.At(root).Folder(filepath.Join("lib/modules", release))
	if err != nil {
		return plan.Facts{}, fmt.Errorf("cannot read the index of kernel modules: %w", err)
	}
	index, err := kmod.ReadFor(modules, modalias)
	if err != nil {
		return plan.Facts{}, err
	}
	configured, err := config.Load(root)
	facts := plan.Facts{
		Release: release, Kernel: index, Law: modprobe.Read(root),
		Vendors: configured.Vendors, Policy: configured.Policy, Observe: configured.Observe, PolicyProblem: err,
	}
	kept, err := tree.At(root).Folder(StateDir)
	if err != nil {
		return plan.Facts{}, fmt.Errorf("cannot read what the service keeps: %w", err)
	}
	if mode, err := (state.Mode{Dir: kept}).Read(); mode != "" || err != nil {
		facts.Observe = mode != daemon.Auto // as the engine takes it
	}
	learned, err := state.Catalogs{Dir: kept}.Load(release)
	switch {
	case err == nil:
		facts.Catalog, facts.Disabled = daemon.NewCatalog(learned.Packages), learned.Disabled
	case !errors.Is(err, fs.ErrNotExist):
		facts.CatalogProblem = err
	}
	return facts, nil
}
