// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"time"

	"driverd/daemon/ledger"
	"driverd/hwdetect"
	"driverd/plan"
)

// Explanation is the whole chain of why, from the identity of a device to what
// became of it.
type Explanation struct {
	plan.Explanation
	What     string   // as it was asked
	Release  string   // of the kernel that was asked about
	Modalias string   // may stand for every device of a product; see modalias.Any
	Vendor   string   // name, empty if unknown
	Product  string   // name, empty if unknown
	Lacking  []string // of Firmware, what the guest does not have

	Device   *Device   // nil if the question was not about a slot
	Attempts []Attempt // at that device, in the order of their steps
	History  []Entry   // of its slot, the newest first
}

// Attempt is what was last tried for a device.
type Attempt struct {
	Step    string // "learn", "install" or "load"
	Job     uint64 // that it is a part of, 0 if it is of none
	Running bool
	Ended   time.Time // zero if it has not
	Tries   int       // without success; 0 if they are not counted
	Err     error     // nil if it went well
	RetryAt time.Time // zero if it is not tried again by itself
}

// Explain answers what a slot, a modalias, or vendor and product need, and why.
// The error is ErrNotUnderstood if what is none of these, ErrNoSuchDevice if
// there is no device in the slot.
func (e *Engine) Explain(ctx context.Context, what string) (Explanation, error) {
	subject, err := plan.ParseSubject(what)
	if err != nil {
		return Explanation{}, refuse(ErrNotUnderstood, "%v", err)
	}
	// Everybody may ask, as often as they like: the engine's goroutine only
	// hands out what it knows, none of which ever changes.
	var facts plan.Facts
	var device *Device
	var attempts []Attempt
	var history []Entry
	if err := e.call(ctx, func() {
		facts = e.facts()
		if d := e.devices[subject.Device.Slot]; subject.BySlot && d != nil {
			facts.Tried = e.tried(d, e.sharedLoads(e.sorted()), time.Now())
			subject.Device, facts = d.Device, e.factsFor(d, facts)
			view := e.deviceView(d)
			device, attempts, history = &view, e.attempts(d), About(d.Slot, e.history.entries)
		}
	}); err != nil {
		return Explanation{}, err
	}
	if e.Gate != nil {
		return Explanation{}, refuse(ErrRefused, "%v", e.Gate)
	}
	if facts.Kernel == nil {
		return Explanation{}, errors.New("cannot see the hardware yet: the journal says why")
	}
	if subject.BySlot && device == nil {
		return Explanation{}, refuse(ErrNoSuchDevice, "there is no device in slot %s", subject.Device.Slot)
	}
	x := Explain(what, subject.Device, facts, e.Namer, e.Firmware)
	x.Device, x.Attempts, x.History = device, attempts, history
	return x, nil
}

// Explain answers for a device that no engine looks after, from facts alone.
func Explain(what string, d hwdetect.Device, f plan.Facts, names Namer, files Firmware) Explanation {
	x := Explanation{What: what, Release: f.Release, Modalias: d.Modalias, Explanation: plan.Explain(d, f)}
	x.Vendor, x.Product = names.Names(d.Vendor, d.Product)
	x.Lacking = files.Lacking(x.Firmware)
	return x
}

// attempts lists what was tried for a device, and is not history.
func (e *Engine) attempts(d *device) []Attempt {
	if d.shown.State == plan.Bound {
		return nil
	}
	var all []Attempt
	for _, step := range []struct {
		name string
		ledger.Try
	}{
		{"learn", e.catalog.lastTry()},
		{"install", e.ledger.Get(ledger.Packages(d.want.Packages))},
		{"install", e.ledger.Get(ledger.Firmware(d.missing))},
		{"load", e.ledger.Get(ledger.Load(d.stay))},
	} {
		if step.Running() || step.Done() && (step.name != "learn" || step.Err != nil) {
			all = append(all, Attempt{
				Step: step.name, Job: step.Owner, Running: step.Running(), Ended: step.Ended,
				Err: step.Err, Tries: step.Failures, RetryAt: step.RetryAt,
			})
		}
	}
	return all
}
