// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"time"

	"github.com/rs/zerolog"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// record is what the engine knows about one device, from the moment it is
// first seen until it is gone.
type record struct {
	device   hwdetect.Device
	seen     time.Time
	decision plan.Decision
	vendor   string
	product  string

	state   plan.State
	reason  reason.Reason
	message string

	load     attempt
	install  attempt
	timeline []Mark

	mend   []string // firmware that its driver has asked for in vain, until that was looked for
	mended bool     // it was

	job       *job   // the newest that serves it and has not ended; nil if none does
	asked     bool   // somebody asked for its driver: that driverd only observes is no obstacle
	cancelled string // by whom its job was; empty if it was not
}

// attempt is one piece of work on a device: not begun, running, or ended.
type attempt struct {
	job     uint64 // that it is a part of, 0 if it is of none
	running bool
	began   time.Time
	ended   time.Time // zero until it has
	err     error
	tries   int
	retryAt time.Time // after a failure; zero if only a change can help
	alone   bool      // do it without other devices' packages
	early   bool      // a load before its transaction has ended: its failure means nothing
	owed    []string  // packages of an install that failed when the device had its driver already: they are not whole yet
}

// Mark is one step of a device's timeline.
type Mark struct {
	Step string
	Time time.Time
}

func (e *Engine) newRecord(d hwdetect.Device) *record {
	r := &record{device: d, seen: time.Now()}
	r.vendor, r.product = e.names(d)
	r.mark("seen")
	level := zerolog.InfoLevel
	if d.Driver != "" {
		level = zerolog.DebugLevel // nothing to do: no news for a person
	}
	e.Log.WithLevel(level).Str("event", "device-added").Stringer("slot", d.Slot).Str("modalias", d.Modalias).Str("driver", d.Driver).
		Msgf("%s is here: %s", d.Slot, r.name())
	return r
}

// names are those of a device. The list of all names is long: it is not read again
// for each function of a card.
func (e *Engine) names(d hwdetect.Device) (vendor, product string) {
	for _, r := range e.records {
		if r.device.Vendor == d.Vendor && r.device.Product == d.Product {
			return r.vendor, r.product
		}
	}
	return e.Namer.Names(d.Vendor, d.Product)
}

// name is what a person calls the device.
func (r *record) name() string {
	switch {
	case r.product != "":
		return r.vendor + " " + r.product
	case r.device.Modalias != "":
		return r.device.Modalias
	default:
		return "a device without a readable identity"
	}
}

// forget clears what was tried, so that it is tried again. What runs, runs on.
func (r *record) forget() {
	if !r.load.running {
		r.load = attempt{}
	}
	if !r.install.running {
		r.install = attempt{owed: r.install.owed}
	}
}

// again has everything tried again, what was cancelled too.
func (r *record) again() {
	r.forget()
	r.cancelled, r.mended = "", false
	if !r.install.running {
		r.mend = nil
	}
}

// forgetFailures is forget for all but an install that went well and did not
// help: it would not help the next time either.
func (r *record) forgetFailures() {
	if install := r.install; install.err == nil {
		r.forget()
		r.install = install
		return
	}
	r.forget()
}

// mark notes the first time that a step was reached.
func (r *record) mark(step string) {
	if !slices.ContainsFunc(r.timeline, func(m Mark) bool { return m.Step == step }) {
		r.timeline = append(r.timeline, Mark{Step: step, Time: time.Now()})
	}
}

// become puts the device into a state and tells the journal if it is a new one.
func (e *Engine) become(r *record, s plan.State, why reason.Reason, message string) {
	if s != plan.Pending && s != plan.Installing && s != plan.Loading {
		r.mark("settled")
	}
	if r.state == s && r.reason == why && r.message == message {
		return
	}
	level := zerolog.InfoLevel
	switch {
	case why != reason.None && why != reason.Policy && why != reason.ObserveOnly:
		level = zerolog.WarnLevel
	case s == plan.Bound && r.state == "":
		level = zerolog.DebugLevel // it was when it was first seen
	}
	r.state, r.reason, r.message = s, why, message
	event := e.Log.WithLevel(level).Stringer("slot", r.device.Slot).Str("state", string(s)).Str("reason", string(why)).Str("driver", r.device.Driver)
	switch {
	case why != reason.None:
		event.Msgf("%s is %s (%s): %s", r.device.Slot, s, why, message)
	case s == plan.Bound:
		event.Msgf("%s is bound to %s", r.device.Slot, r.device.Driver)
	default:
		event.Msgf("%s is %s", r.device.Slot, s)
	}
}

// await gives a driver bindTime since the given moment to take the device.
func (e *Engine) await(r *record, since time.Time, otherwise string) {
	if deadline := since.Add(bindTime); time.Now().Before(deadline) {
		e.become(r, plan.Loading, "", "")
		e.wakeAt(deadline)
		return
	}
	e.become(r, plan.Failed, reason.ProbeFailed,
		otherwise+"; the kernel log says why: journalctl -k --grep "+r.device.Slot.String())
}

// fail records the end of an attempt that did not work.
func (e *Engine) fail(r *record, err error) {
	why := reason.Of(err)
	if why == reason.None {
		why = reason.TransactionFailed
	}
	e.become(r, plan.StateOf(why), why, err.Error())
}
