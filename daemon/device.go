// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"time"

	"github.com/rs/zerolog"

	"driverd/daemon/ledger"
	"driverd/daemon/phase"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// device is one stay of a device in a slot, from the moment it is first seen until
// it is gone. What was tried for it is in the ledger, what is under way in the jobs.
type device struct {
	hwdetect.Device
	stay    hwdetect.Stay
	seen    time.Time
	came    time.Time // before it was seen, if it was at the first look
	settles time.Time // since when: a device that was there before the service did long ago
	vendor  string
	product string

	want    plan.Want
	missing []string    // firmware that its driver has asked for in vain
	brought []string    // such firmware that came since
	next    phase.Phase // as the look that goes on has found it
	shown   phase.Phase

	parts         hwdetect.Parts // if it has a driver
	partsOf       string         // the driver that it had when they were read, empty if they were not
	partsStale    bool           // they are to be read anew
	lacksFirmware bool           // its driver may have asked for files in vain
	whole         phase.Whole
	childPackages []string // to be installed for its children
	complete      bool     // every child that has a driver installed has it

	tenure    tenure
	timeline  []Mark
	asked     bool   // somebody asked for its driver: that driverd only observes is no obstacle
	cancelled string // by whom the job was that it waited for; empty if it was not
}

// Mark is one step of a device's timeline.
type Mark struct {
	Step string
	Time time.Time
}

func stayOf(d hwdetect.Device) hwdetect.Stay {
	return hwdetect.Stay{Slot: d.Slot, Generation: d.Generation}
}

// sinceLastStart is how long ago a device is taken to have come that is there at the
// first look, so that a service that is started again and again does not have the
// metadata of the repositories renewed each time.
const sinceLastStart = 10 * time.Minute

func (e *Engine) newDevice(d hwdetect.Device, now time.Time) *device {
	added := &device{Device: d, stay: stayOf(d), seen: now, came: now, settles: now}
	remembered := added.remember(e.stayed)
	if e.rested.IsZero() {
		added.came = now.Add(-sinceLastStart)
		if remembered || !e.woken {
			added.settles = added.came
		}
	}
	added.vendor, added.product = e.names(d)
	level := zerolog.InfoLevel
	if remembered || d.Driver != "" {
		level = zerolog.DebugLevel // nothing to do: no news for a person
	}
	added.mark("seen")
	e.Log.WithLevel(level).Str("event", "device-added").Stringer("slot", d.Slot).Str("modalias", d.Modalias).Str("driver", d.Driver).
		Msgf("%s is here: %s", d.Slot, added.name())
	return added
}

// names are those of a device. The list of all names is long: it is not read again
// for each function of a card.
func (e *Engine) names(d hwdetect.Device) (vendor, product string) {
	for _, known := range e.devices {
		if known.Vendor == d.Vendor && known.Product == d.Product {
			return known.vendor, known.product
		}
	}
	return e.Namer.Names(d.Vendor, d.Product)
}

// name is what a person calls the device.
func (d *device) name() string {
	switch {
	case d.product != "":
		return d.vendor + " " + d.product
	case d.Modalias != "":
		return d.Modalias
	default:
		return "a device without a readable identity"
	}
}

// mark notes the first time that a step was reached.
func (d *device) mark(step string) {
	if !slices.ContainsFunc(d.timeline, func(m Mark) bool { return m.Step == step }) {
		d.timeline = append(d.timeline, Mark{Step: step, Time: time.Now()})
	}
}

// present returns a device if this stay of it has not ended, else nil.
func (e *Engine) present(stay hwdetect.Stay) *device {
	if d := e.devices[stay.Slot]; d != nil && d.stay == stay {
		return d
	}
	return nil
}

// show lets the device show a phase, and tells the journal if it is a new one.
func (e *Engine) show(d *device, p phase.Phase) {
	last := d.shown
	d.shown = p
	if p.State == plan.Bound && e.ledger.Get(ledger.Load(d.stay)).Running() {
		d.mark("loaded") // the step has only to say so
	}
	if p.State == plan.Bound {
		d.mark("bound")
		d.markComplete(d.complete)
	}
	if p.Settled() {
		d.mark("settled")
	}
	if last.Name != p.Name {
		e.Log.Debug().Msgf("%s is %s, until %s", d.Slot, p.Name, p.Until())
	}
	if last.State == p.State && last.Reason == p.Reason && (last.Message == p.Message || p.State == plan.Bound && p.Message == "") {
		return
	}
	level := zerolog.InfoLevel
	switch {
	case p.Reason != reason.None && p.Reason != reason.Policy && p.Reason != reason.ObserveOnly:
		level = zerolog.WarnLevel
	case p.State == plan.Bound && last.State == "" && p.Message == "":
		level = zerolog.DebugLevel // it was when it was first seen
	}
	event := e.Log.WithLevel(level).Stringer("slot", d.Slot).Str("state", string(p.State)).Str("reason", string(p.Reason)).Str("driver", d.Driver)
	switch {
	case p.Reason != reason.None:
		event.Msgf("%s is %s (%s): %s", d.Slot, p.State, p.Reason, p.Message)
	case p.State == plan.Bound && p.Message != "":
		event.Msgf("%s is bound to %s: %s", d.Slot, d.Driver, p.Message)
	case p.State == plan.Bound:
		event.Msgf("%s is bound to %s", d.Slot, d.Driver)
	default:
		event.Msgf("%s is %s", d.Slot, p.State)
	}
}
