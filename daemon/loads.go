// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/daemon/phase"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

const (
	// maxLoads is how many load steps run at once: each is a process, and there are
	// cards that come with a hundred functions.
	maxLoads = 4
	// loadTime is how long a load step may take: more than systemd gives it.
	loadTime = 6 * time.Minute
)

// mayLoad says whether it is a device's turn to have its load step run. Cards that
// are alike need one: the kernel offers a new driver all that it claims. And a slot
// has one unit: what systemd runs there for one card is no step for the next.
func (e *Engine) mayLoad(d *device) bool { return mayLoadBeside(d, e.loading) }

func mayLoadBeside(d *device, loading []*device) bool {
	return len(loading) < maxLoads && !slices.ContainsFunc(loading, func(other *device) bool {
		return other.Slot == d.Slot || other.Modalias == d.Modalias ||
			len(d.want.Modules) > 0 && slices.Equal(other.want.Modules, d.want.Modules)
	})
}

// prepareLoads has the load steps of devices readied whose packages are about to come.
func (e *Engine) prepareLoads(ctx context.Context, j *jobs.Job, coming []string) {
	steps := slices.Clone(e.loading)
	for _, stay := range j.Stays() {
		d := e.present(stay)
		if d != nil && d.want.Action == plan.Install && isAmong(d.want.Packages, coming) && d.Class>>16 != multimedia && mayLoadBeside(d, steps) {
			steps = append(steps, d)
			e.Loader.Prepare(ctx, d.Slot)
		}
	}
}

// multimedia is the class of devices whose drivers name, while they probe, the modules of what
// they find: codecs of HD audio, tuners. The kernel's own modprobe knows these by depmod's index
// alone, and a driver that does not get them gives up for good (Linux: codec_bind_module in
// sound/hda/common/bind.c, azx_probe_continue in sound/hda/controllers/intel.c).
const multimedia = 0x04

// unpacked says whether the job at work has put all that a device waits for on
// the disk. Its transaction may go on for long: depmod takes seconds, dracut
// tens of them. The load step can do without both, but not a driver that has the kernel
// itself ask for more modules while it probes.
func (e *Engine) unpacked(d *device) bool {
	j := e.jobs.AtWork()
	return j != nil && d.Class>>16 != multimedia && len(d.want.Packages) > 0 && isAmong(slices.Concat(d.want.Packages, j.Firmware), j.Unpacked)
}

// isAmong says whether all of some packages are among others.
func isAmong(some, others []string) bool {
	return !slices.ContainsFunc(some, func(nevra string) bool { return !slices.Contains(others, nevra) })
}

// startLoad runs the load step of a device, early if its transaction is still under
// way.
func (e *Engine) startLoad(d *device, now time.Time) {
	if d.want.State == plan.Bound {
		e.loadChildren(d, now)
		return
	}
	key, try, owner := ledger.Load(d.stay), ledger.Try{Modules: d.want.Modules}, uint64(0)
	if j := e.jobs.Serving(d.stay); j != nil {
		owner, j.Loads = j.Number, true
	}
	packages := ledger.Packages(d.want.Packages)
	if install := e.ledger.Get(packages); install.Running() {
		try.Early, owner = true, install.Owner
		e.incomplete[packages] = need{key: packages, packages: d.want.Packages, stays: append(e.incomplete[packages].stays, d.stay)}
	}
	e.ledger.Begin(key, owner, now, try)
	e.runLoadStep(d, func(err error) {
		loaded := len(try.Modules) > 0 && !slices.ContainsFunc(try.Modules, func(m string) bool { return !e.Loader.Loaded(m) })
		e.ledger.EndLoad(key, owner, time.Now(), err, loaded)
		if err == nil {
			d.mark("loaded")
		}
		switch {
		case e.present(d.stay) == nil:
			e.ledger.Forget(key) // nobody asks for it any more
		case d.Driver != "":
			e.ledger.Copy(key, ledger.Children(d.stay)) // it has looked after the children too
			e.ledger.Forget(key)
		}
	})
}

// runLoadStep runs the load step of a device, and then finish, with the error of the
// step, inside the engine's goroutine.
func (e *Engine) runLoadStep(d *device, finish func(error)) {
	slot := d.Slot
	e.loading = append(e.loading, d)
	e.start(
		func(ctx context.Context) error {
			ctx, cancel := context.WithTimeoutCause(ctx, loadTime, reason.With(reason.ProbeFailed, fmt.Errorf(
				"the load step has not ended in %s: see journalctl -u driverd-load@%s", loadTime, slot)))
			defer cancel()
			err := e.Loader.Load(ctx, slot)
			if err != nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return withReason(reason.ProbeFailed, err)
		},
		func(err error) {
			e.loading = slices.DeleteFunc(e.loading, func(other *device) bool { return other == d })
			d.partsStale = true
			finish(err)
		})
}

// sharedLoad is the load step of one device, as it speaks for all that are alike.
type sharedLoad struct {
	ledger.Try
	slot hwdetect.Slot
}

// sharedLoads finds the last load step that speaks for others, by their identity: the
// modules are loaded, and the kernel has offered them all devices that were there.
// All that is left to find out is why they did not take one of them, and of a hundred
// functions of one card one is enough.
func (e *Engine) sharedLoads(devices []*device) map[string]sharedLoad {
	alike := make(map[string]sharedLoad)
	for _, d := range devices {
		if d.Driver != "" {
			continue
		}
		try := e.ledger.Get(ledger.Load(d.stay))
		if try.Done() && !try.Early && try.Loaded && try.Began.After(alike[d.Modalias].Began) {
			alike[d.Modalias] = sharedLoad{try, d.Slot}
		}
	}
	return alike
}

// lastLoad is the last load step for a device: its own, or that of one that is alike, if
// the device was there when it began.
func (e *Engine) lastLoad(d *device, alike map[string]sharedLoad) ledger.Try {
	try := e.ledger.Get(ledger.Load(d.stay))
	other := alike[d.Modalias]
	if !try.Began.IsZero() || !other.Done() || d.seen.After(other.Began) {
		return try
	}
	other.Err = about(d.Slot, other.slot, other.Err)
	return other.Try
}

// loadOf is the last try to load the driver that a device needs now.
func (e *Engine) loadOf(d *device, alike map[string]sharedLoad) ledger.Try {
	try := e.lastLoad(d, alike)
	if try.Running() || try.Done() && (try.Early || slices.Equal(try.Modules, d.want.Modules)) {
		return try
	}
	return ledger.Try{}
}

// tried is what has had its chance to drive a device. With other modules on the disk
// it is another chance.
func (e *Engine) tried(d *device, alike map[string]sharedLoad, now time.Time) plan.Tried {
	t := plan.Tried{BuiltIn: !now.Before(d.seen.Add(phase.BindTime))}
	chance := e.lastLoad(d, alike).Chance
	if chance == nil || e.changes.Modules.After(chance.Began) || chance.Err == nil && now.Before(chance.Ended.Add(phase.BindTime)) {
		return t
	}
	t.Modules, t.Silent = chance.Modules, errors.Is(chance.Err, reason.ErrSilent)
	return t
}

// alikeError is an error about one device that holds for another one.
type alikeError struct {
	error
	text string
}

func (e *alikeError) Error() string { return e.text }
func (e *alikeError) Unwrap() error { return e.error }

// about makes an error about a device one about another.
func about(slot, other hwdetect.Slot, err error) error {
	if err == nil {
		return nil
	}
	return &alikeError{err, strings.ReplaceAll(err.Error(), other.String(), slot.String())}
}

// withReason gives an error a reason if it has none.
func withReason(r reason.Reason, err error) error {
	if err == nil || reason.Of(err) != reason.None || errors.Is(err, context.Canceled) {
		return err
	}
	return reason.With(r, err)
}
