// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/kmsg"
	"driverd/hwdetect/sysfs"
	"driverd/plan"
	"driverd/reason"
)

// maxKinds is for how many kinds of children one step loads modules: a process for
// each. maxSaid is about how many of them it says what went wrong.
const (
	maxKinds = 64
	maxSaid  = 4
)

// makeWhole looks after a device that has its driver: it loads the modules of its
// children, and says which firmware its driver has done without. Its error is what the
// device lacks; it is never taken from its driver.
func (v *Evidence) makeWhole(ctx context.Context, release string, log *kmsg.Log, policy plan.Policy) error {
	device, err := sysfs.New("/").Device(v.Slot)
	if errors.Is(err, fs.ErrNotExist) || err == nil && device.Driver == "" {
		return nil
	}
	if err != nil {
		return err
	}
	c := childStep{dir: filepath.Join("/lib/modules", release), device: device, log: log, policy: policy, tried: make(map[string]*Evidence)}
	problem := c.load(ctx)
	v.Log = append(v.Log, c.said...)
	if files := (firmware.Guest{Root: "/", Release: release}).Lacking(v.firmware()); len(files) > 0 {
		lacks := errors.New(firmware.Without(device.Driver, files))
		if problem != nil {
			lacks = fmt.Errorf("%w; %w", lacks, problem)
		}
		return &firmware.MissingError{Files: files, Err: reason.With(reason.FirmwareMissing, lacks)}
	}
	return problem
}

// childStep loads modules for the children of one device.
type childStep struct {
	dir    string // /lib/modules/RELEASE
	device hwdetect.Device
	log    *kmsg.Log
	policy plan.Policy
	tried  map[string]*Evidence // by identity; nil where nothing was loaded
	order  []string             // of tried
	said   []kmsg.Entry         // by the kernel meanwhile
}

// load goes through the children until there is none that it has not tried: one that
// gets its driver can have children of its own. It does not wait for those that come
// later; the service has them loaded by another step.
func (c *childStep) load(ctx context.Context) error {
	var parts hwdetect.Parts
	for {
		var err error
		parts, err = sysfs.New("/").Parts(c.device.Slot)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		kinds := c.untried(parts)
		room := maxKinds - len(c.order)
		if len(kinds) == 0 || room == 0 || ctx.Err() != nil {
			break
		}
		if err := c.try(ctx, kinds[:min(len(kinds), room)]); err != nil {
			return err
		}
	}
	return c.problem(parts)
}

// untried are children that have no driver, one of each kind that was not tried yet.
func (c *childStep) untried(parts hwdetect.Parts) (kinds []hwdetect.Child) {
	for _, child := range parts.Children {
		_, known := c.tried[child.Modalias]
		if child.Driver == "" && !known && !slices.ContainsFunc(kinds, func(k hwdetect.Child) bool { return k.Modalias == child.Modalias }) {
			kinds = append(kinds, child)
		}
	}
	return kinds
}

// try loads the modules that claim children of some kinds, if the policy lets it.
func (c *childStep) try(ctx context.Context, kinds []hwdetect.Child) error {
	var identities []string
	for _, k := range kinds {
		identities = append(identities, k.Modalias)
	}
	claims, err := kmod.Children(c.dir, identities)
	if err != nil {
		return err
	}
	var early []string // identities whose modules depmod has not indexed
	fresh := make(map[string]bool)
	for _, k := range kinds {
		c.tried[k.Modalias], c.order = nil, append(c.order, k.Modalias)
		want := plan.DecideChild(c.device, plan.Want{}, plan.Child{Child: k, Modules: claims[k.Modalias]}, plan.Facts{Policy: c.policy})
		switch installed := claims[k.Modalias].Installed; {
		case want.Action != plan.Load:
		case len(installed) > 0:
			c.modprobe(ctx, "/", k.Modalias, installed)
		default:
			early = append(early, k.Modalias)
			for _, m := range claims[k.Modalias].Fresh {
				fresh[m] = true
			}
		}
	}
	if len(early) > 0 {
		c.loadEarly(ctx, early, slices.Sorted(maps.Keys(fresh)))
	}
	return nil
}

// loadEarly loads modules before depmod has indexed them. What is not certain waits for
// the index.
func (c *childStep) loadEarly(ctx context.Context, identities, modules []string) {
	build, err := readBuild(c.dir)
	if err != nil {
		return
	}
	root, err := prepareEarly(ctx, c.dir, build, modules, identities)
	if err != nil {
		return
	}
	defer func() { _ = root.Close() }() // systemd removes what is left
	for _, id := range identities {
		if claiming := root.claiming(id); len(claiming) > 0 {
			c.modprobe(ctx, root.Root, id, claiming)
		}
	}
}

// modprobe loads the modules that claim children of one kind.
func (c *childStep) modprobe(ctx context.Context, root, identity string, modules []string) {
	v := &Evidence{Slot: c.device.Slot, Generation: c.device.Generation, Modules: modules}
	c.said = append(c.said, c.log.Read()...)
	v.Complaint = runModprobe(ctx, root, identity)
	v.Log = c.log.Read()
	c.said = append(c.said, v.Log...)
	v.Missing = v.notLoaded()
	c.tried[identity] = v
}

// problem is what has kept children from their drivers. One whose modules are all
// loaded is left to them: they need not want it.
func (c *childStep) problem(parts hwdetect.Parts) error {
	var problem error
	said := 0
	for _, child := range parts.Children {
		v := c.tried[child.Modalias]
		if child.Driver != "" || v == nil || len(v.Missing) == 0 || said == maxSaid {
			continue
		}
		v.look("/")
		c.tried[child.Modalias] = nil // it is said once
		err := v.notLoadedBecause()
		if said++; problem == nil {
			problem = reason.With(reason.Of(err), fmt.Errorf("%s has no driver: %w", child.Path, err))
		} else {
			problem = fmt.Errorf("%w; %s has no driver: %w", problem, child.Path, err)
		}
	}
	if problem == nil && len(c.untried(parts)) > 0 {
		return reason.With(reason.ProbeFailed, fmt.Errorf(
			"more than %d kinds of devices below it have no driver: driverd looks after no more of them", maxKinds))
	}
	return problem
}
