// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"driverd/plan"
	"driverd/reason"
)

// maxLoads is how many load steps run at once: each is a process, and there are
// cards that come with a hundred functions.
const maxLoads = 4

// mayLoad says whether it is a device's turn to have its load step run. Cards that
// are alike need one: the kernel offers a new driver all that it claims.
func (e *Engine) mayLoad(r *record) bool {
	return len(e.loading) < maxLoads && !slices.ContainsFunc(e.loading, func(other *record) bool {
		return other.device.Modalias == r.device.Modalias ||
			len(r.decision.Modules) > 0 && slices.Equal(other.decision.Modules, r.decision.Modules)
	})
}

// unpacked says whether the job at work has put all that a device waits for on
// the disk. Its transaction may go on for long: depmod takes seconds, dracut
// tens of them. The load step can do without both.
func (e *Engine) unpacked(r *record) bool {
	return e.job != nil && len(r.decision.Packages) > 0 && !slices.ContainsFunc(slices.Concat(r.decision.Packages, e.job.firmware),
		func(nevra string) bool { return !slices.Contains(e.job.unpacked, nevra) })
}

// stepLoad moves on a device whose modules are installed.
func (e *Engine) stepLoad(r *record) {
	if r.load.early && !r.load.running {
		r.load = attempt{} // now that all is there, it is done again if need be
	}
	switch {
	case r.load.running:
		e.become(r, plan.Loading, "", "")
	case r.load.ended.IsZero():
		e.beginLoad(r)
	case e.beginMend(r):
		e.stepInstall(r)
	case r.load.err != nil:
		e.failLoad(r)
	default:
		e.await(r, r.load.ended, "its module is loaded, but the driver has not taken the device")
	}
}

// failLoad shows why the load step has failed.
func (e *Engine) failLoad(r *record) {
	err := r.load.err
	if packages := strings.Join(r.decision.Packages, " "); packages != "" && reason.Of(err) == reason.NoDriver {
		err = reason.With(reason.TransactionFailed, fmt.Errorf(
			"%s is installed, but none of its modules can be read and drives it: run dnf5 reinstall %s", packages, packages))
	}
	e.fail(r, e.spoilt(r, err))
}

// beginLoad starts the load step, if it is its turn.
func (e *Engine) beginLoad(r *record) {
	twin := e.twin(r)
	switch {
	case twin != nil && !twin.load.running: // which may have begun anew in this look
		r.load, r.mended = twin.load, twin.mended && twin.mend == nil
		e.stepLoad(r)
	case !e.mayLoad(r):
		e.become(r, plan.Pending, "", "")
	default:
		e.startLoad(r, false)
	}
}

// twin returns a device of the same identity for which the load step has run, if a
// step for r could do nothing else: the modules are loaded, and the kernel has
// offered them the device. All that is left to find out is why they did not take
// it, and of a hundred functions of one card one is enough.
func (e *Engine) twin(r *record) *record {
	if len(r.decision.Modules) == 0 || slices.ContainsFunc(r.decision.Modules, func(module string) bool { return !e.Loader.Loaded(module) }) {
		return nil
	}
	return e.tried[r.device.Modalias]
}

// noteTried finds the first device of each identity for which the load step has
// run: once a look, as each of many devices will ask.
func (e *Engine) noteTried(sorted []*record) {
	e.tried = make(map[string]*record)
	for _, r := range sorted {
		ended := !r.load.early && !r.load.ended.IsZero() && r.device.Driver == ""
		if ended && e.tried[r.device.Modalias] == nil {
			e.tried[r.device.Modalias] = r
		}
	}
}

// startLoad runs the load step, early if the transaction is still under way.
func (e *Engine) startLoad(r *record, early bool) {
	r.load = attempt{running: true, began: time.Now(), early: early}
	if r.job != nil {
		r.load.job, r.job.loads = r.job.number, true
	}
	e.loading = append(e.loading, r)
	e.become(r, plan.Loading, "", "")
	slot := r.device.Slot
	e.start(
		func(ctx context.Context) error { return e.Loader.Load(ctx, slot) },
		func(err error) {
			e.loading = slices.DeleteFunc(e.loading, func(other *record) bool { return other == r })
			r.load.running, r.load.ended, r.load.err = false, time.Now(), err
			if err == nil {
				r.mark("loaded")
			}
		})
}
