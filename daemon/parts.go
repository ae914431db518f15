// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"driverd/daemon/ledger"
	"driverd/hwdetect"
)

// changedSlots are the slots at or below which something has changed since the last
// look. To read what is below all devices at every look would cost more than the look.
type changedSlots struct {
	mu    sync.Mutex
	slots map[hwdetect.Slot]bool
}

func (c *changedSlots) add(slot hwdetect.Slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slots == nil {
		c.slots = make(map[hwdetect.Slot]bool)
	}
	c.slots[slot] = true
}

func (c *changedSlots) take() map[hwdetect.Slot]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	slots := c.slots
	c.slots = nil
	return slots
}

// Changed is a Kick that says where something may have changed: the device in a slot,
// or something below it. What is not told of is seen within resyncTime.
func (e *Engine) Changed(slot hwdetect.Slot) {
	e.changed.add(slot)
	e.Kick()
}

// readParts reads what bound devices consist of, where that may have changed.
func (e *Engine) readParts(now time.Time) {
	changed := e.changed.take()
	all := now.Sub(e.partsRead) >= resyncTime
	if all {
		e.partsRead = now
	}
	for _, d := range e.devices {
		switch {
		case d.Driver == "":
			d.parts, d.partsOf = hwdetect.Parts{}, ""
		case all || changed[d.Slot] || d.partsOf != d.Driver || d.partsStale:
			e.readPartsOf(d)
		}
	}
}

func (e *Engine) readPartsOf(d *device) {
	parts, err := e.Hardware.Parts(d.Slot)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // else the next look sees that it is gone
		parts.Problem = err
	}
	rebound := d.partsOf != d.Driver || parts.Binding != d.parts.Binding
	d.parts, d.partsOf, d.partsStale = parts, d.Driver, false
	if !rebound {
		return
	}
	// What was said of the binding before is history. The load step that brought this
	// one has looked at its firmware.
	e.ledger.Forget(ledger.Children(d.stay))
	if e.ledger.Get(ledger.Load(d.stay)).Done() {
		e.ledger.Copy(ledger.Load(d.stay), ledger.Children(d.stay))
	}
	var files []string
	for _, c := range e.kernel.Claims(hwdetect.Shipped, d.Modalias) {
		files = append(files, c.Module.Firmware...)
	}
	d.lacksFirmware = len(e.Firmware.Lacking(files)) > 0
}

// markComplete notes when a device came to have a driver of every child that has one
// installed. It is not complete for good: children come later.
func (d *device) markComplete(complete bool) {
	const step = "complete"
	if complete {
		d.mark(step)
		return
	}
	d.timeline = slices.DeleteFunc(slices.Clone(d.timeline), func(m Mark) bool { return m.Step == step })
}
