// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"time"

	"driverd/daemon/ledger"
)

// probingTime is how long a driver may be at a device before that means that it has taken it: its
// link is in sysfs while it probes as well, and goes away if it fails.
const probingTime = 10 * time.Second

// tenure is what is remembered of the driver of a device in this stay.
type tenure struct {
	since   time.Time // when it was first seen there, zero if none was
	proven  bool      // it was still there after probingTime
	modules []string  // that it is made of, as far as the kernel had them loaded
}

// noteTenure remembers that a device has a driver, once its want is known.
func (e *Engine) noteTenure(d *device, now time.Time) {
	t := &d.tenure
	switch {
	case d.Driver == "":
		if !e.unbound(d) {
			*t = tenure{}
		}
		return
	case e.ledger.Get(ledger.Load(d.stay)).Running():
		return // it may still be probing
	case t.since.IsZero():
		// A module that was loaded early is in no index yet: its build's knows of it.
		*t = tenure{since: now, modules: slices.DeleteFunc(slices.Clone(d.want.Modules), func(m string) bool { return !e.Loader.Loaded(m) })}
	}
	if end := t.since.Add(probingTime); now.Before(end) {
		e.wakeAt(end)
	} else {
		t.proven = true
	}
}

// unbound says whether somebody has taken the driver from a device: the module was removed, which no
// failed probe does, or the driver had the device for long enough.
func (e *Engine) unbound(d *device) bool {
	t := d.tenure
	return d.Driver == "" && !t.since.IsZero() &&
		(t.proven || len(t.modules) > 0 && !slices.ContainsFunc(t.modules, e.Loader.Loaded))
}
