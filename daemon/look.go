// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"maps"
	"slices"
	"time"

	"driverd/daemon/ledger"
	"driverd/daemon/phase"
	"driverd/hwdetect"
	"driverd/plan"
)

// look is one turn of the house: snapshot, want, phase, act, publish.
func (e *Engine) look() {
	began, asked := time.Now(), !e.firstKick.IsZero()
	e.firstKick = time.Time{}
	e.due = began.Add(resyncTime)
	if e.Gate != nil {
		e.publisher.put(e.view())
		return
	}
	e.configure()
	e.lookAtRepositories(began)
	e.network.Step(began)
	if e.snapshot(began) {
		devices := e.sorted()
		e.decide(devices, began)
		e.act(devices, began)
		e.showAll(devices, began)
		e.wakeAt(e.nextKernel.Step(began))
		e.endJobs(began)
	}
	e.wakeAt(e.catalog.Step(began))
	e.wakeAt(e.offers.Step(began))
	e.wakeAt(e.idleBackend.Step(began))
	e.rest = e.restful(began)
	e.publisher.put(e.view())
	if !asked && e.jobs.AtWork() == nil && len(e.loading) == 0 {
		giveBack() // nothing comes for a while
	}
	now := time.Now()
	e.rested = now.Add(max(lookGap, min(4*now.Sub(began), maxSettleTime)))
	if e.due.Before(e.rested) { // whatever was asked for
		e.due = e.rested
	}
}

// snapshot brings the devices in line with the hardware and the module index.
// A device is the same as before if its stay and its modalias are.
func (e *Engine) snapshot(now time.Time) bool {
	found, err := e.Hardware.Devices()
	if err == nil {
		err = e.readModules(now)
	}
	if err != nil {
		if e.blind == nil || e.blind.Error() != err.Error() {
			e.Log.Error().Str("event", "hardware-unreadable").Msgf("cannot see the hardware: %v", err)
		}
		e.blind = err
		return false
	}
	e.blind = nil
	seen := make(map[hwdetect.Slot]bool, len(found))
	for _, f := range found {
		seen[f.Slot] = true
		d := e.devices[f.Slot]
		if d != nil && (d.stay != stayOf(f) || d.Modalias != f.Modalias) {
			e.remove(d)
			d = nil
		}
		if d == nil {
			d = e.newDevice(f, now)
			e.devices[f.Slot] = d
		}
		d.Device = f
	}
	for slot, d := range e.devices {
		if !seen[slot] {
			e.Log.Info().Str("event", "device-removed").Stringer("slot", slot).Msgf("%s is gone", slot)
			e.remove(d)
		}
	}
	e.readParts(now)
	return true
}

// readModules brings the module index in line with the disk.
func (e *Engine) readModules(now time.Time) error {
	kernel, err := e.Modules.Modules()
	if err == nil && kernel != e.kernel {
		e.kernel, e.changes.Modules = kernel, now
	}
	return err
}

// remove forgets a device that is gone.
func (e *Engine) remove(d *device) {
	delete(e.devices, d.Slot)
	e.ledger.Forget(ledger.Load(d.stay))
	e.ledger.Forget(ledger.Children(d.stay))
}

// decide finds out what each device needs.
func (e *Engine) decide(devices []*device, now time.Time) {
	facts, alike := e.facts(), e.sharedLoads(devices)
	for _, d := range devices {
		facts.Tried = e.tried(d, alike, now)
		d.want = plan.Decide(d.Device, e.factsFor(d, facts))
		e.noteTenure(d, now)
		if d.want.Vendor != "" {
			for _, v := range facts.VendorsFor(d.Device) {
				e.offers.want(v.Name)
			}
		}
		if d.want.Action == plan.Learn && d.want.Vendor == "" {
			e.catalog.renewFor(d.came)
		} else if d.want.Action != plan.Learn {
			d.mark("decided")
		}
	}
	e.completeDevices(devices)
}

// act does what is to be done next for each device, as far as there is room for it:
// load steps, and one transaction.
func (e *Engine) act(devices []*device, now time.Time) {
	e.findPhases(devices, now)
	for _, d := range devices {
		if d.next.Act == phase.Load && e.mayLoad(d) {
			e.startLoad(d, now)
		}
	}
	e.startRequest()
	e.wakeAt(e.interrupted.Step(now))
	e.startForDevices(devices, now)
}

// showAll shows where each device stands once everything has begun that could.
func (e *Engine) showAll(devices []*device, now time.Time) {
	e.findPhases(devices, now)
	var bound []*device
	for _, d := range devices {
		if d.want.State == plan.Bound && d.shown.State != plan.Bound {
			bound = append(bound, d)
		}
		e.show(d, d.next)
		e.wakeAt(d.next.Wake)
	}
	e.noteLoads(slices.DeleteFunc(slices.Clone(bound), func(d *device) bool { return !e.loadedByItself(d) }))
	for _, d := range bound {
		e.forgetTries(d) // they are history
		d.asked = false
	}
}

// findPhases finds out where each device stands.
func (e *Engine) findPhases(devices []*device, now time.Time) {
	alike := e.sharedLoads(devices)
	for _, d := range devices {
		d.next = phase.Of(e.standing(d, alike), now)
	}
}

// standing is what the phase of a device follows from.
func (e *Engine) standing(d *device, alike map[string]sharedLoad) phase.Device {
	s := phase.Device{Slot: d.Slot, Seen: d.seen, Came: d.settles, Want: d.want, Cancelled: d.cancelled, Changes: e.changes}
	if d.want.State == plan.Bound {
		s.Whole = d.whole
		s.Whole.Children = e.ledger.Get(ledger.Children(d.stay))
		s.Whole.Install = e.ledger.Get(ledger.Packages(d.childPackages))
		d.missing = phase.MissingFirmware(s.Whole.Children)
		s.Firmware = e.ledger.Get(ledger.Firmware(d.missing))
		return s
	}
	if d.want.Action != plan.Load && d.want.Action != plan.Install {
		return s
	}
	s.Load = e.loadOf(d, alike)
	if len(d.want.Packages) > 0 {
		s.Install = e.ledger.Get(ledger.Packages(d.want.Packages))
	}
	if d.missing = phase.MissingFirmware(s.Load); len(d.missing) > 0 {
		s.Firmware = e.ledger.Get(ledger.Firmware(d.missing))
	}
	s.Unpacked = e.unpacked(d)
	if s.Unpacked {
		d.mark("unpacked")
	}
	if len(d.want.Incomplete) > 0 {
		s.Reinstalling, s.Damaged = e.interrupted.standing(d.want.Incomplete)
	}
	return s
}

// needed lists what the devices that are here, an interrupted installation and the next kernel
// need now, and may have been tried.
func (e *Engine) needed() []ledger.Key {
	lacking := e.nextKernel.lacking
	keys := []ledger.Key{ledger.Reinstall(e.interrupted.allowed()), ledger.Packages(lacking.packages), ledger.Packages(lacking.ofVendor)}
	for _, d := range e.devices {
		keys = append(keys, ledger.Load(d.stay), ledger.Children(d.stay))
		switch {
		case d.want.State == plan.Bound:
			keys = append(keys, ledger.Packages(d.childPackages), ledger.Firmware(d.missing))
		case d.want.Action == plan.Install:
			keys = append(keys, ledger.Packages(d.want.Packages))
		}
	}
	return keys
}

// tryAnew lets everything be tried for a device as if it never had been, nor been cancelled.
func (e *Engine) tryAnew(d *device) {
	e.forgetTries(d)
	d.cancelled = ""
}

// forgetTries forgets what was tried for a device.
func (e *Engine) forgetTries(d *device) {
	e.ledger.Forget(ledger.Load(d.stay))
	e.ledger.Forget(ledger.Firmware(d.missing))
	e.ledger.Forget(ledger.Firmware(d.brought))
	if _, incomplete := e.incomplete[ledger.Packages(d.want.Packages)]; !incomplete {
		e.ledger.Forget(ledger.Packages(d.want.Packages))
	}
}

// leftAlone says whether a device lacks something that is not brought because somebody has
// cancelled its job.
func (d *device) leftAlone() bool {
	return d.cancelled != "" && (d.want.State != plan.Bound || d.whole.Needs || len(d.missing) > 0)
}

// facts are what decisions rest on now.
func (e *Engine) facts() plan.Facts {
	return plan.Facts{
		Release:        e.Release,
		Kernel:         e.kernel,
		Catalog:        e.catalog.known,
		CatalogProblem: e.catalog.problem,
		Disabled:       e.catalog.last.Disabled,
		Incomplete:     e.interrupted.left(),
		Vendors:        e.config.Vendors,
		Offers:         e.offers.known,
		Law:            e.law,
		Policy:         e.config.Policy,
		Observe:        e.modeNow() == Observe,
		PolicyProblem:  e.misconfigured,
	}
}

// factsFor are the facts for one device: what has begun is seen through, and
// what somebody asked for is done in any mode.
func (e *Engine) factsFor(d *device, f plan.Facts) plan.Facts {
	if j := e.jobs.AtWork(); j != nil && j.Active() && j.Serves(d.stay) || e.ledger.Get(ledger.Load(d.stay)).Running() {
		f.Observe, f.PolicyProblem = false, nil
	}
	f.Observe, f.Asked = f.Observe && !d.asked, d.asked
	f.Unbound = e.unbound(d)
	return e.catalog.factsFor(d, f)
}

func (e *Engine) sorted() []*device {
	return slices.SortedFunc(maps.Values(e.devices), func(a, b *device) int { return a.Slot.Compare(b.Slot) })
}
