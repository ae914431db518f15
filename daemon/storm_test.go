// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// A card with many functions costs a few looks, and a few processes at a time.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const functions = 120
		w := newWorld()
		w.installed.installed[igb.alias] = igb.module
		engine, _ := w.run(t)
		after(time.Second)

		goroutines := runtime.NumGoroutine()
		var running, most, mostGoroutines atomic.Int32
		w.onLoad = func(s hwdetect.Slot) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			mostGoroutines.Store(max(mostGoroutines.Load(), int32(runtime.NumGoroutine())))
			w.mu.Unlock()
			time.Sleep(200 * time.Millisecond)
			w.mu.Lock()
			w.offer(s, igb.module)
			return nil
		}
		looks := w.looked()
		for n := range functions {
			w.plug(uint8(n), igb.alias)
			engine.Kick()
		}
		after(settled)
		if got := w.looked() - looks; got != 1 {
			t.Errorf("it looked %d times at one burst", got)
		}
		after(30 * time.Second)
		for n := range functions {
			expect(t, w.device(uint8(n)), plan.Bound, "")
		}
		fmt.Printf("\ntable: %d functions at once: %d looks, %d load steps at a time; goroutines %d before, %d at most, %d after\n", // make test shows it
			functions, w.looked()-looks, most.Load(), goroutines, mostGoroutines.Load(), runtime.NumGoroutine())
		if got := int(mostGoroutines.Load()) - goroutines; got > 10 {
			t.Errorf("%d more goroutines while it worked", got)
		}
		if got := runtime.NumGoroutine() - goroutines; got > 2 {
			t.Errorf("%d goroutines are left", got)
		}
		if len(w.loads) != 1 {
			t.Errorf("load steps for %v: one has brought the driver for all", w.loads)
		}
		if got := w.looked() - looks; got > functions {
			t.Errorf("it looked %d times at %d functions until all was done", got, functions)
		}
	})
}

// Functions that come one after another for two seconds, of two kinds, cost one transaction,
// which begins when the first is there.
func TestStormIsOneTransaction(t *testing.T) {
	for name, gap := range map[string]time.Duration{"close": 16 * time.Millisecond, "far apart": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				engine, _ := w.run(t)
				after(time.Second)
				functions := uint8(120)
				if gap*time.Duration(functions) > 2*time.Second {
					functions = uint8(2 * time.Second / gap)
				}
				for n := range functions {
					w.plug(n, []string{igb.alias, mega.alias}[n%2])
					engine.Kick()
					after(gap)
				}
				after(time.Minute)
				for n := range functions {
					expect(t, w.device(n), plan.Bound, "")
				}
				fmt.Printf("\ntable: %d functions, one every %s: %d transactions begun, %d carried out\n", functions, gap, len(w.installs), w.commits) // make test shows it
				if w.commits != 1 || len(w.installs) > 2 {
					t.Errorf("%d transactions were carried out, of %v", w.commits, w.installs)
				}
			})
		})
	}
}

// Of cards that are not alike, four get their drivers at once.
func TestLoadStepsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const kinds = 6
		alias := func(n uint8) string { return fmt.Sprintf("pci:v00008086d%08Xsv00008086sd00000001bc02sc00i00", n) }
		w := newWorld()
		var running, most atomic.Int32
		w.onLoad = func(s hwdetect.Slot) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			w.mu.Unlock()
			time.Sleep(time.Second)
			w.mu.Lock()
			w.offer(s, w.installed.installed[alias(s.Bus)])
			return nil
		}
		for n := range uint8(kinds) {
			w.installed.installed[alias(n)] = fmt.Sprint("card", n)
			w.plug(n, alias(n))
		}
		w.run(t)
		after(10 * time.Second)
		for n := range uint8(kinds) {
			expect(t, w.device(n), plan.Bound, "")
		}
		if most.Load() != 4 || len(w.loads) != kinds {
			t.Errorf("%d load steps ran at once, %d in all", most.Load(), len(w.loads))
		}
	})
}

// Of functions that their driver does not want one is asked why; and no other
// device waits for them.
func TestStormOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const functions = 120
		w := newWorld()
		w.installed.installed[mega.alias] = mega.module
		w.installed.installed[igb.alias] = igb.module
		w.inKernel = []string{mega.module}
		w.onLoad = func(s hwdetect.Slot) error {
			w.mu.Unlock()
			time.Sleep(time.Second)
			w.mu.Lock()
			d := w.devices[s]
			if d.Modalias != igb.alias {
				return reason.With(reason.ProbeFailed, errors.New("it is not ready"))
			}
			d.Driver = igb.module
			w.devices[s] = d
			return nil
		}
		engine, _ := w.run(t)
		for n := range functions {
			w.plug(uint8(n), mega.alias)
		}
		w.plug(functions, igb.alias)
		engine.Kick()
		after(3 * time.Second)
		expect(t, w.device(functions), plan.Bound, "")
		for n := range functions {
			expect(t, w.device(uint8(n)), plan.Failed, reason.ProbeFailed)
		}
		if len(w.loads) != 2 {
			t.Errorf("%d load steps, want one for each kind of device", len(w.loads))
		}
	})
}

// settled is the time after which a burst is looked at.
const settled = 50 * time.Millisecond
