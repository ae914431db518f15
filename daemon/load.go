// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"slices"
	"time"

	"driverd/plan"
)

// maxLoads is how many load steps run at once: each is a process, and there are
// cards that come with a hundred functions.
const maxLoads = 4

// stepLoad moves on a device whose modules are installed.
func (e *Engine) stepLoad(r *record) {
	switch {
	case r.load.running:
		e.become(r, plan.Loading, "", "")
	case r.load.ended.IsZero() && e.loads >= e.maxLoads(r):
		e.become(r, plan.Pending, "", "")
	case r.load.ended.IsZero():
		e.startLoad(r)
	case r.load.err != nil:
		e.fail(r, r.load.err)
	default:
		e.await(r, r.load.ended, "its module is loaded, but the driver has not taken the device")
	}
}

// maxLoads is how many load steps may run with the one for r. The kernel has
// offered the device to modules that are loaded already: what the step can still
// do for it is to say why none took it, which must not keep others waiting.
func (e *Engine) maxLoads(r *record) int {
	if slices.ContainsFunc(r.decision.Modules, func(module string) bool { return !e.Loader.Loaded(module) }) {
		return maxLoads
	}
	return 1
}

func (e *Engine) startLoad(r *record) {
	r.load = attempt{running: true, began: time.Now()}
	if r.job != nil {
		r.load.job, r.job.loads = r.job.number, true
	}
	e.loads++
	e.become(r, plan.Loading, "", "")
	slot := r.device.Slot
	e.start(
		func(ctx context.Context) error { return e.Loader.Load(ctx, slot) },
		func(err error) {
			e.loads--
			r.load.running, r.load.ended, r.load.err = false, time.Now(), err
			if err == nil {
				r.mark("loaded")
			}
		})
}
