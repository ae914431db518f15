// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"driverd/daemon"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// driven is a world with one igb card that has its driver.
func driven() *world {
	w := newWorld()
	w.installed.installed[igb.alias] = igb.module
	w.plug(1, igb.alias)
	w.bind(1, igb.module)
	return w
}

// bind gives the device in slot n a driver, whose module is loaded; none takes it away.
func (w *world) bind(n uint8, driver string) {
	w.change(func() {
		d := w.devices[slot(n)]
		d.Driver = driver
		w.devices[slot(n)] = d
		w.inKernel = slices.DeleteFunc([]string{driver}, func(m string) bool { return m == "" })
	})
}

// A driver that somebody has taken away is not brought back unasked.
func TestUnboundIsLeftAlone(t *testing.T) {
	for name, test := range map[string]struct {
		loaded bool          // the module still is
		held   time.Duration // for which the driver had the device
		asks   func(t *testing.T, w *world, e *daemon.Engine)
	}{
		"modprobe -r, and a rescan": {false, time.Second, func(t *testing.T, _ *world, e *daemon.Engine) {
			if err := e.Rescan(t.Context()); err != nil {
				t.Error(err)
			}
		}},
		"modprobe -r, and another card": {false, time.Minute, func(_ *testing.T, w *world, e *daemon.Engine) {
			w.plug(1, igb.alias)
			e.Kick()
		}},
		"unbind, and a request": {true, time.Minute, func(t *testing.T, _ *world, e *daemon.Engine) {
			if _, err := e.Install(t.Context(), daemon.Request{Selectors: []string{slot(1).String()}}); err != nil {
				t.Error(err)
			}
		}},
		"unbind, and a request for all, which names none": {true, time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := driven()
				engine, _ := w.run(t)
				after(test.held)
				w.bind(1, "")
				if test.loaded {
					w.change(func() { w.inKernel = []string{igb.module} })
				}
				engine.Kick()
				after(time.Hour)
				_, err := engine.Install(t.Context(), daemon.Request{})
				d := w.device(1)
				if d.State != plan.Blocked || d.Reason != reason.Unbound || !strings.Contains(d.Message, "driverd rescan") || len(w.loads) > 0 || err != nil {
					t.Fatalf("it is %s (%s): %s; loads %v, %v", d.State, d.Reason, d.Message, w.loads, err)
				}
				if test.asks == nil {
					return
				}
				test.asks(t, w, engine)
				after(time.Minute)
				if d := w.device(1); d.State != plan.Bound || len(w.loads) != 1 {
					t.Errorf("then it is %s (%s): %s; loads %v", d.State, d.Reason, d.Message, w.loads)
				}
			})
		})
	}
}

// A driver has its link while it probes: one that fails then was not taken away.
func TestFailedProbeIsNotUnbound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := driven()
		engine, _ := w.run(t)
		after(2 * time.Second)
		w.bind(1, "")
		w.change(func() { w.inKernel = []string{igb.module} })
		engine.Kick()
		after(time.Second)
		if d := w.device(1); d.State != plan.Bound || len(w.loads) != 1 {
			t.Errorf("it is %s (%s): %s; loads %v", d.State, d.Reason, d.Message, w.loads)
		}
	})
}

// The same card, out and in again before anybody has looked, is another stay.
func TestOutAndInWithinOneBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.installed[igb.alias] = igb.module
		w.onLoad = func(hwdetect.Slot) error { return reason.With(reason.ProbeFailed, errors.New("no")) }
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Minute)
		first := w.device(1)
		if first.State != plan.Failed || len(w.loads) != 1 {
			t.Fatalf("it is %s, loads %v", first.State, w.loads)
		}
		w.unplug(1)
		w.plug(1, igb.alias)
		w.change(func() { w.onLoad = nil })
		engine.Kick()
		after(time.Minute)
		if d := w.device(1); d.State != plan.Bound || !d.Timeline[0].Time.After(first.Timeline[0].Time) {
			t.Errorf("it is %s: %s; loads %v", d.State, d.Message, w.loads)
		}
	})
}

// What the step of one card came to says nothing of the next one, of the same kind, that is in the
// slot by then.
func TestSameKindOfCardDuringTheLoadStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.installed[igb.alias] = igb.module
		w.onLoad = func(hwdetect.Slot) error {
			w.onLoad = nil
			w.mu.Unlock()
			time.Sleep(5 * time.Second)
			w.mu.Lock()
			return reason.With(reason.ProbeFailed, errors.New("no"))
		}
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Second)
		w.unplug(1)
		w.plug(1, igb.alias)
		engine.Kick()
		after(2 * time.Second)
		var loads int
		w.change(func() { loads = len(w.loads) })
		if d := w.device(1); d.State != plan.Pending || loads != 1 {
			t.Errorf("meanwhile it is %s: %s; %d loads", d.State, d.Message, loads)
		}
		after(time.Minute)
		if d := w.device(1); d.State != plan.Bound || len(w.loads) != 2 || w.overlap {
			t.Errorf("it is %s: %s; loads %v", d.State, d.Message, w.loads)
		}
	})
}

// depmod need not know of a module that was loaded early.
func TestUnboundBeforeDepmod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.shipped[igb.alias] = hwdetect.Module{Name: igb.module, Group: "sriov"}
		w.plug(1, igb.alias)
		w.bind(1, igb.module)
		engine, _ := w.run(t)
		after(time.Second)
		w.bind(1, "")
		engine.Kick()
		after(time.Minute)
		expect(t, w.device(1), plan.Blocked, reason.Unbound)
	})
}
