// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"maps"
	"slices"
	"time"

	"driverd/hwdetect"
	"driverd/plan"
)

// look is one turn of the house: snapshot, decide, start what is missing,
// publish.
func (e *Engine) look() {
	began, asked := time.Now(), !e.firstKick.IsZero()
	e.firstKick = time.Time{}
	e.due = began.Add(resyncTime)
	if e.Gate != nil {
		e.shows.put(e.view())
		return
	}
	e.configure()
	e.lookOutside()
	if e.snapshot() {
		sorted := e.sorted()
		e.noteTried(sorted)
		e.redo()
		for _, r := range sorted {
			e.step(r)
		}
		e.noteLoads()
		e.startJob()
		e.prepareNext()
		e.endJobs()
	}
	e.learnCatalog()
	e.rest()
	e.shows.put(e.view())
	if !asked && e.job == nil && len(e.loading) == 0 {
		giveBack() // nothing comes for a while
	}
	now := time.Now()
	e.rested = now.Add(max(lookGap, min(4*now.Sub(began), maxSettleTime)))
}

// snapshot brings the records in line with the hardware and the module index.
// A device is the same as before if slot and modalias are.
func (e *Engine) snapshot() bool {
	devices, err := e.Hardware.Devices()
	kernel := e.kernel
	if err == nil {
		kernel, err = e.Modules.Modules()
	}
	if err != nil {
		if e.blind == nil || e.blind.Error() != err.Error() {
			e.Log.Error().Str("event", "hardware-unreadable").Msgf("cannot see the hardware: %v", err)
		}
		e.blind = err
		return false
	}
	e.blind = nil
	if kernel != e.kernel {
		e.kernel = kernel
		for _, r := range e.records {
			r.forgetFailures() // other modules, other chances
		}
	}
	seen := make(map[hwdetect.Slot]bool, len(devices))
	for _, d := range devices {
		seen[d.Slot] = true
		r := e.records[d.Slot]
		if r == nil || r.device.Modalias != d.Modalias {
			r = e.newRecord(d)
			e.records[d.Slot] = r
		}
		r.device = d
	}
	for slot := range e.records {
		if !seen[slot] {
			e.Log.Info().Str("event", "device-removed").Stringer("slot", slot).Msgf("%s is gone", slot)
			delete(e.records, slot)
		}
	}
	return true
}

// step decides about one device and moves it on.
func (e *Engine) step(r *record) {
	r.decision = plan.Decide(r.device, e.factsFor(r))
	if r.decision.Action != plan.Learn {
		r.mark("decided")
	}
	switch r.decision.Action {
	case plan.Nothing:
		if r.decision.State == plan.Bound {
			if r.load.running {
				r.mark("loaded") // the step has only to say so
			}
			e.noteLoad(r)
			if r.install.owed != nil {
				e.retryOwed(r)
			} else {
				r.again()
			}
			r.asked = false
			r.mark("bound")
		}
		e.become(r, r.decision.State, r.decision.Reason, r.decision.Message)
	case plan.Learn:
		e.become(r, plan.Pending, "", "")
	case plan.Await:
		e.await(r, r.seen, "the driver is built into the kernel, but has not taken the device")
	case plan.Load:
		if e.redoes(r) {
			e.become(r, plan.Installing, "", "")
			break
		}
		if r.install.running || r.mends() {
			e.stepInstall(r) // depmod may not be through with the index, or it is for firmware
			break
		}
		e.stepLoad(r)
	case plan.Install:
		if r.cancelled != "" {
			e.heldBack(r)
			break
		}
		e.stepInstall(r)
	}
}

// facts are what decisions rest on now.
func (e *Engine) facts() plan.Facts {
	return plan.Facts{
		Release:        e.Release,
		Kernel:         e.kernel,
		Catalog:        e.catalog.known,
		CatalogProblem: e.catalog.problem,
		Policy:         e.config.Policy,
		Observe:        e.modeNow() == Observe,
		PolicyProblem:  e.misconfigured,
	}
}

// factsFor are the facts for one device: what has begun is seen through, and
// what somebody asked for is done in any mode.
func (e *Engine) factsFor(r *record) plan.Facts {
	f := e.facts()
	if r.install.running || r.load.running {
		f.Observe, f.PolicyProblem = false, nil
	}
	f.Observe = f.Observe && !r.asked
	return f
}

func (e *Engine) sorted() []*record {
	return slices.SortedFunc(maps.Values(e.records), func(a, b *record) int {
		return a.device.Slot.Compare(b.device.Slot)
	})
}
