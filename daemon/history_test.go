// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/plan"
	"driverd/reason"
)

// told is the history in a form that a test can compare: what, by whom, how it
// ended; the newest first.
func told(t *testing.T, engine *daemon.Engine) []string {
	t.Helper()
	entries, err := engine.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, fmt.Sprintf("%s by %s: %s %v %v %s", e.Action, e.Origin, e.State, e.Packages, e.Slots, e.Reason))
		if e.Time.Before(e.Began) || e.Began.IsZero() {
			t.Errorf("from %s to %s", e.Began, e.Time)
		}
	}
	return all
}

func TestHistoryAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		engine, stop := w.run(t)
		after(time.Minute)
		if err := engine.SetMode(t.Context(), daemon.Observe, "uid:1000"); err != nil {
			t.Fatal(err)
		}
		stop()
		engine, _ = w.run(t)
		after(time.Minute)
		number := install(t, engine, "passthrough")
		if number != 2 {
			t.Errorf("the number of a job that was is used again: %d", number)
		}
		if err := engine.Cancel(t.Context(), number, "uid:0"); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"install by uid:0: cancelled [" + mega.nevra + "] [] ",
			"set-mode by uid:1000: done [] [] ",
			"install by hotplug: done [" + igb.nevra + "] [0000:01:00.0] ",
		}
		if diff := cmp.Diff(want, told(t, engine)); diff != "" {
			t.Error(diff)
		}
	})
}

// What ends with the engine is kept all the same.
func TestHistoryIsWrittenAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, stop := w.run(t)
		if err := engine.SetMode(t.Context(), daemon.Observe, "uid:0"); err != nil {
			t.Fatal(err)
		}
		stop()
		if len(w.history) != 1 {
			t.Errorf("kept: %v", w.history)
		}
	})
}

func TestLoadsWithoutPackagesAreOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.installed[igb.alias] = "igb"
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(3 * time.Minute) // several looks at what is bound
		if diff := cmp.Diff([]string{"load by hotplug: done [] [0000:01:00.0] "}, told(t, engine)); diff != "" {
			t.Error(diff)
		}
	})
}

// A repository that is away for a month is one entry, not a thousand.
func TestFailureThatRepeatsIsOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		w.onInstall = func([]string) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
		engine, _ := w.run(t)
		after(24 * time.Hour)
		if diff := cmp.Diff([]string{"install by hotplug: failed [" + igb.nevra + "] [0000:01:00.0] repo-unreachable"}, told(t, engine)); diff != "" {
			t.Error(diff)
		}
		if len(w.installs) < 20 {
			t.Errorf("%d tries", len(w.installs))
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, _ := w.run(t)
		for n := range 1010 {
			if err := engine.SetMode(t.Context(), []daemon.Mode{daemon.Observe, daemon.Auto}[n%2], fmt.Sprintf("uid:%d", n)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		all := told(t, engine)
		if len(all) != 1000 || all[0] != "set-mode by uid:1009: done [] [] " || len(w.history) != 1000 {
			t.Errorf("%d entries, %d kept, the last is %s", len(all), len(w.history), all[0])
		}
	})
}

// A full disk: what was kept stays as it was, and the service works on.
func TestNothingCanBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.full = errors.New("cannot keep it: no space left on device")
		w.history = []daemon.Entry{{Action: "install", State: daemon.JobDone, Began: time.Now(), Time: time.Now()}}
		w.plug(1, igb.alias)
		engine, stop := w.run(t)
		if err := engine.SetMode(t.Context(), daemon.Observe, "uid:0"); !errors.Is(err, w.full) {
			t.Errorf("SetMode: %v", err)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if w.view().Mode != daemon.Auto || len(told(t, engine)) != 2 || len(w.history) != 1 {
			t.Errorf("mode %s, history %v, kept %v", w.view().Mode, told(t, engine), w.history)
		}
		w.change(func() { w.full = nil })
		stop()
		if len(w.history) != 2 { // there is room again
			t.Errorf("kept %v", w.history)
		}
	})
}

func TestSetMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.config.Observe = true
		w.plug(1, igb.alias)
		engine, stop := w.run(t)
		after(time.Second)
		expect(t, w.device(1), plan.Blocked, reason.ObserveOnly)
		if err := engine.SetMode(t.Context(), "manual", "uid:0"); !errors.Is(err, daemon.ErrNotUnderstood) {
			t.Error(err)
		}
		for range 2 { // the second time, it is that already
			if err := engine.SetMode(t.Context(), daemon.Auto, "uid:0"); err != nil {
				t.Fatal(err)
			}
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if n := len(told(t, engine)); n != 2 {
			t.Errorf("%d entries", n)
		}
		stop()
		w.run(t)
		if w.view().Mode != daemon.Auto {
			t.Errorf("after a restart, the mode is %s", w.view().Mode)
		}
	})
}

func TestExplainTellsWhichJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		w.plug(2, mega.alias)
		engine, _ := w.run(t)
		after(time.Minute)
		x, err := engine.Explain(t.Context(), "0000:02:00.0")
		if err != nil || len(x.History) != 1 || x.History[0].Job != 1 || !slices.Contains(x.History[0].Slots, "0000:02:00.0") {
			t.Errorf("%+v, %v", x.History, err)
		}
	})
}
