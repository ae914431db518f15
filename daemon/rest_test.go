// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/plan"
	"driverd/reason"
)

// The service may end when nothing is under way, or to be tried again, and not before.
func TestRestful(t *testing.T) {
	never, always := false, true
	noRoute := func([]string) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
	cancel := func(w *world, e *daemon.Engine) {
		w.plug(2, mega.alias)
		e.Kick()
		after(2 * time.Second)
		if err := e.Cancel(context.Background(), 1, "uid:0"); err != nil {
			t.Error(err)
		}
	}
	for name, test := range map[string]struct {
		world func(w *world)
		do    func(w *world, e *daemon.Engine)
		want  bool
	}{
		"nothing to do":             {nil, nil, true},
		"configured not to":         {func(w *world) { w.config.IdleExit = &never }, nil, false},
		"a guest with much memory":  {func(w *world) { w.small = false }, nil, false},
		"that is configured to":     {func(w *world) { w.small, w.config.IdleExit = false, &always }, nil, true},
		"a wrong configuration":     {func(w *world) { w.badConfig = errors.New("no") }, nil, false},
		"a device without a driver": {func(w *world) { w.plug(2, edu) }, nil, true},
		"a device that is denied":   {func(w *world) { w.plug(2, mega.alias); w.config.Observe = true }, nil, true},
		"repositories that cannot be reached, and nobody needs": {func(w *world) {
			w.onList = func(context.Context) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
		}, nil, true},
		"repositories that cannot be reached, and a device needs": {func(w *world) {
			w.plug(2, mega.alias)
			w.onList = func(context.Context) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
		}, nil, false},
		"repositories that cannot be reached, and the next kernel needs": {func(w *world) {
			w.next = daemon.Next{Release: nextRelease, Kernel: &kernel{}}
			w.onList = func(context.Context) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
		}, nil, false},
		"a driver that did not take its device": {func(w *world) {
			w.plug(2, mega.alias)
			w.onLoad = func(hwdetect.Slot) error { return reason.With(reason.ProbeFailed, errors.New("no")) }
		}, nil, false},
		"a package that cannot be had": {func(w *world) {
			w.onInstall = noRoute
			w.plug(2, mega.alias)
		}, func(_ *world, _ *daemon.Engine) { after(time.Hour) }, false},
		"a package that cannot be had, for a device that is gone": {func(w *world) {
			w.onInstall = noRoute
			w.plug(2, mega.alias)
		}, func(w *world, _ *daemon.Engine) {
			after(time.Minute)
			w.unplug(2)
			after(10 * time.Minute)
		}, true},
		"firmware that cannot be had, for a device that is gone": {func(w *world) {
			w.plug(2, mega.alias)
			w.lacking = []string{qedFile}
			w.onLoad = func(hwdetect.Slot) error {
				return &firmware.MissingError{Files: []string{qedFile}, Err: errors.New("it lacks " + qedFile)}
			}
		}, func(w *world, _ *daemon.Engine) {
			after(time.Minute)
			w.unplug(2)
			after(10 * time.Minute)
		}, true},
		"a job that was cancelled": {nil, func(w *world, e *daemon.Engine) {
			cancel(w, e)
			after(10 * time.Minute)
		}, false},
		"and its device has its driver all the same": {nil, func(w *world, e *daemon.Engine) {
			cancel(w, e)
			w.bind(2, mega.module)
			after(10 * time.Minute)
		}, true},
		"a job that has ended, and can still be read": {nil, func(w *world, e *daemon.Engine) {
			w.plug(2, mega.alias)
			e.Kick()
		}, false},
		"a job that can be read no more": {nil, func(w *world, e *daemon.Engine) {
			w.plug(2, mega.alias)
			e.Kick()
			after(10 * time.Minute)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := driven()
				w.small = true
				if test.world != nil {
					test.world(w)
				}
				engine, _ := w.run(t)
				if w.view().Restful {
					t.Error("it may end before it has learned anything")
				}
				if test.do != nil {
					test.do(w, engine)
				}
				after(5 * time.Minute)
				if got := w.view().Restful; got != test.want {
					t.Errorf("it may end: %t, want %t", got, test.want)
				}
			})
		})
	}
}

// What comes at the last moment keeps the service from ending, and what the service knew of a device
// is known to the next start.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := driven()
		w.small = true
		engine, stop := w.run(t)
		after(5 * time.Minute)
		before := w.device(1)
		if err := engine.Remember(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.plug(2, mega.alias)
		if may, err := engine.Rest(t.Context()); may || err != nil {
			t.Errorf("with a new device it may end: %t, %v", may, err)
		}
		after(20 * time.Minute)
		if may, err := engine.Rest(t.Context()); !may || err != nil {
			t.Errorf("with nothing to do it may end: %t, %v", may, err)
		}
		if err := engine.Remember(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		after(time.Hour)

		w.bind(2, "") // modprobe -r
		var log strings.Builder
		w.log = &log
		w.run(t)
		after(time.Minute)
		if diff := cmp.Diff(before, w.device(1)); diff != "" {
			t.Errorf("the next start shows another device:\n%s", diff)
		}
		if d := w.device(2); d.State != plan.Blocked || d.Reason != reason.Unbound || len(w.loads) > 1 {
			t.Errorf("a driver was taken from it at rest: it is %s (%s): %s; loads %v", d.State, d.Reason, d.Message, w.loads)
		}
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, slot(1).String()) && !strings.Contains(line, `"level":"debug"`) {
				t.Errorf("it is told again: %s", line)
			}
		}
	})
}

// A device that wakes the service is not called anything before it has settled; those that it knew
// show at once what they showed.
func TestRestEndsForADeviceThatSettles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := driven()
		w.small = true
		w.plug(2, edu)
		engine, stop := w.run(t)
		after(5 * time.Minute)
		if err := engine.Remember(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		w.plug(3, edu)
		w.run(t)
		after(200 * time.Millisecond)
		expect(t, w.device(2), plan.Unsupported, reason.NoDriver)
		expect(t, w.device(3), plan.Pending, "")
		after(time.Second)
		expect(t, w.device(3), plan.Unsupported, reason.NoDriver)
	})
}

func TestRestThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := driven()
		w.small = true
		engine, _ := w.run(t)
		after(5 * time.Minute)
		w.change(func() { w.full = errors.New("no space") })
		if err := engine.Remember(t.Context()); !errors.Is(err, w.full) {
			t.Errorf("kept, with %v", err)
		}
	})
}
