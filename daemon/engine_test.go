// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

func expect(t *testing.T, got daemon.Device, state plan.State, why reason.Reason) {
	t.Helper()
	if got.State != state || got.Reason != why {
		t.Fatalf("%s is %s (%s: %s), want %s (%s)", got.Slot, got.State, got.Reason, got.Message, state, why)
	}
}

func steps(d daemon.Device) []string {
	var all []string
	for _, m := range d.Timeline {
		all = append(all, m.Step)
	}
	return all
}

func TestHotplugToBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, _ := w.run(t)
		w.plug(1, igb.alias)
		engine.Kick()
		after(time.Second)
		expect(t, w.device(1), plan.Installing, "")
		after(10 * time.Second)
		d := w.device(1)
		expect(t, d, plan.Bound, "")
		if d.Driver != "igb" || !slices.Equal(d.Packages, []string{igb.nevra}) || !slices.Equal(d.Modules, []string{"igb"}) {
			t.Errorf("bound as %+v", d)
		}
		want := []string{"seen", "decided", "resolved", "downloaded", "unpacked", "loaded", "bound", "complete", "settled"}
		if diff := cmp.Diff(want, steps(d)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPresentAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		w.run(t)
		after(11 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}

func TestInstalledDriverCostsNoTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.installed[igb.alias] = "igb"
		engine, _ := w.run(t)
		listings := w.listings
		w.plug(1, igb.alias)
		engine.Kick()
		after(time.Second)
		expect(t, w.device(1), plan.Bound, "")
		if len(w.installs) != 0 || w.listings != listings {
			t.Errorf("%d transactions, %d listings for an installed driver", len(w.installs), w.listings-listings)
		}
	})
}

// A device that comes alone does not wait for others.
func TestLoneDevice(t *testing.T) {
	for name, installed := range map[string]bool{"its driver is installed": true, "its package is missing": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				if installed {
					w.installed.installed[igb.alias] = igb.module
				}
				engine, _ := w.run(t)
				after(time.Second)
				w.plug(1, igb.alias)
				engine.Kick()
				after(50 * time.Millisecond)
				w.change(func() {
					if len(w.loads)+len(w.installs) != 1 {
						t.Errorf("after 50 ms: %d load steps, %d transactions", len(w.loads), len(w.installs))
					}
				})
			})
		})
	}
}

// Nothing is said against a device that a driver is about to take, by an id that somebody has
// given to it.
func TestDriverThatNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var states []plan.State
		w.onPublish = func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, d := range w.published.Devices {
				states = append(states, d.State)
			}
		}
		engine, _ := w.run(t)
		after(time.Second)
		w.plug(1, edu)
		engine.Kick()
		after(200 * time.Millisecond)
		expect(t, w.device(1), plan.Pending, "")
		w.change(func() { w.offer(slot(1), "vfio-pci") })
		engine.Kick()
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if slices.Contains(states, plan.Unsupported) {
			t.Errorf("it was %v", states)
		}
	})
}

func TestBuiltInDriverIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.builtIn[igb.alias] = "igb"
		w.plug(1, igb.alias)
		w.run(t)
		expect(t, w.device(1), plan.Loading, "")
		after(3 * time.Second)
		expect(t, w.device(1), plan.Failed, reason.ProbeFailed)
		if len(w.loads)+len(w.installs) != 0 {
			t.Error("a built-in driver was loaded or installed")
		}
	})
}

func TestUnknownDeviceIsLeftInPeace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, edu)
		w.run(t)
		after(23 * time.Hour)
		expect(t, w.device(1), plan.Unsupported, reason.NoDriver)
		if len(w.installs) != 0 || len(w.loads) != 0 || w.listings != 2 || w.renewals != 1 {
			t.Errorf("%d transactions, %d loads, %d listings, %d renewals", len(w.installs), len(w.loads), w.listings, w.renewals)
		}
	})
}

func TestBurstIsOneLookAndOneTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, _ := w.run(t)
		before := w.looked()
		for n := range uint8(60) {
			w.plug(n, []string{igb.alias, mega.alias, edu}[n%3])
			engine.Kick()
			after(10 * time.Millisecond)
		}
		after(20 * time.Millisecond)
		if looks := w.looked() - before; looks != 0 {
			t.Fatalf("%d looks while the burst lasts", looks)
		}
		after(time.Minute)
		if diff := cmp.Diff([][]string{{mega.nevra, igb.nevra}}, w.installs); diff != "" {
			t.Error(diff)
		}
		for n := range uint8(60) {
			if n%3 == 2 {
				expect(t, w.device(n), plan.Unsupported, reason.NoDriver)
			} else {
				expect(t, w.device(n), plan.Bound, "")
			}
		}
	})
}

func TestEndlessBurstIsLookedAtAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, _ := w.run(t)
		w.plug(1, edu)
		for range 45 { // two looks: before it is said to have no driver, the repositories are asked
			engine.Kick()
			after(100 * time.Millisecond)
		}
		expect(t, w.device(1), plan.Unsupported, reason.NoDriver)
	})
}

func TestLostEventsAreMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.run(t)
		w.plug(1, igb.alias)
		after(75 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}

func TestUnplugAtEveryMoment(t *testing.T) {
	for _, moment := range []time.Duration{0, 100, 300, 1000, 5000, 10200, 10300, 12000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			engine, _ := w.run(t)
			w.plug(1, igb.alias)
			engine.Kick()
			after(moment * time.Millisecond)
			w.unplug(1)
			engine.Kick()
			after(30 * time.Second)
			if d := w.device(1); d.State != "" {
				t.Fatalf("unplugged after %d ms, still there: %+v", moment, d)
			}
			w.plug(2, mega.alias)
			engine.Kick()
			after(30 * time.Second)
			expect(t, w.device(2), plan.Bound, "")
		})
	}
}

func TestAnotherDeviceInTheSameSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, _ := w.run(t)
		w.plug(1, igb.alias)
		engine.Kick()
		after(time.Second)
		w.plug(1, mega.alias)
		engine.Kick()
		after(time.Minute)
		d := w.device(1)
		expect(t, d, plan.Bound, "")
		if d.Driver != mega.module {
			t.Errorf("driver %q", d.Driver)
		}
	})
}

func TestRestartContinues(t *testing.T) {
	for _, moment := range []time.Duration{0, 300, 5000, 10200} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.plug(1, igb.alias)
			_, stop := w.run(t)
			after(moment * time.Millisecond)
			begin := time.Now()
			stop()
			if took := time.Since(begin); took > 0 {
				t.Errorf("stop took %s", took)
			}
			w.run(t)
			after(time.Minute)
			expect(t, w.device(1), plan.Bound, "")
		})
	}
}

func TestCatalogSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		_, stop := w.run(t)
		stop()
		w.plug(1, igb.alias)
		w.run(t)
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if w.listings != 1 {
			t.Errorf("%d listings", w.listings)
		}
	})
}

func TestFailuresOfTheBackend(t *testing.T) {
	for why, state := range map[reason.Reason]plan.State{
		reason.RepoUnreachable:    plan.Unavailable,
		reason.BackendMissing:     plan.Unavailable,
		reason.NotAuthorized:      plan.Blocked,
		reason.TransactionRefused: plan.Blocked,
		reason.TransactionFailed:  plan.Failed,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.onInstall = func([]string) error { return reason.With(why, errors.New("cannot install: no")) }
			w.plug(1, igb.alias)
			engine, _ := w.run(t)
			after(11 * time.Second)
			expect(t, w.device(1), state, why)

			w.change(func() { w.onInstall = nil })
			after(time.Hour)
			recovers := why != reason.TransactionRefused // that nobody changes but who configures dnf
			if bound := w.device(1).State == plan.Bound; bound != recovers {
				t.Errorf("%s: bound by itself after an hour: %t", why, bound)
			}
			if err := engine.Rescan(t.Context()); err != nil {
				t.Fatal(err)
			}
			after(time.Minute)
			expect(t, w.device(1), plan.Bound, "")
		})
	}
}

// The one fast network card must not stay without its driver because the
// package of another device is broken.
func TestBrokenPackageStandsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onInstall = func(packages []string) error {
			if slices.Contains(packages, mega.nevra) {
				return reason.With(reason.UntrustedPackage, errors.New("cannot install: not signed"))
			}
			return nil
		}
		w.plug(1, igb.alias)
		w.plug(2, mega.alias)
		w.plug(3, igb.alias)
		w.run(t)
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		expect(t, w.device(2), plan.Blocked, reason.UntrustedPackage)
		expect(t, w.device(3), plan.Bound, "")
		want := [][]string{{mega.nevra, igb.nevra}, {igb.nevra}, {mega.nevra}}
		if diff := cmp.Diff(want, w.installs); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRepositoryThatCannotBeReadIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onList = func(context.Context) error { return reason.With(reason.RepoUnreachable, errors.New("no answer")) }
		w.plug(1, igb.alias)
		w.run(t)
		after(time.Second)
		expect(t, w.device(1), plan.Unavailable, reason.RepoUnreachable)
		w.change(func() { w.onList = nil })
		after(2 * time.Minute)
		expect(t, w.device(1), plan.Bound, "")
	})
}

func TestFailuresOfTheLoadStep(t *testing.T) {
	for why, state := range map[reason.Reason]plan.State{
		reason.Blacklisted: plan.Blocked,
		reason.KeyRejected: plan.Blocked,
		reason.ProbeFailed: plan.Failed,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.installed.installed[igb.alias] = "igb"
			w.onLoad = func(hwdetect.Slot) error { return reason.With(why, errors.New("cannot load")) }
			w.plug(1, igb.alias)
			w.run(t)
			after(time.Hour)
			expect(t, w.device(1), state, why)
			if len(w.loads) != 1 {
				t.Errorf("%d loads", len(w.loads))
			}
		})
	}
}

func TestLoadedButNotBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.installed[igb.alias] = "igb"
		w.onLoad = func(hwdetect.Slot) error { return nil }
		w.plug(1, igb.alias)
		w.run(t)
		expect(t, w.device(1), plan.Loading, "")
		after(3 * time.Second)
		expect(t, w.device(1), plan.Failed, reason.ProbeFailed)
	})
}

// A package manager that says yes and does nothing must not be asked for ever.
func TestInstallThatChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.packages[0].NEVRA = "empty-1.x86_64"            // claims igb, brings nothing
		w.onInstall = func([]string) error { return nil } // and has depmod write a new index each time
		w.plug(1, igb.alias)
		w.run(t)
		after(12 * time.Hour)
		expect(t, w.device(1), plan.Failed, reason.TransactionFailed)
		if got := len(w.transactions()); got != 1 {
			t.Errorf("%d transactions", got)
		}
	})
}

// A scriptlet that was cut short leaves the package there, and the module index
// without it. The load step can do without.
func TestInstalledAndNotIndexed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.packages[0].NEVRA = "installed-1.x86_64"
		w.has["installed-1.x86_64"] = true
		w.unpacked[igb.alias] = igb.module
		w.plug(1, igb.alias)
		w.run(t)
		after(5 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}

func TestPingAnswersFromTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, stop := w.run(t)
		if err := engine.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := engine.Ping(ctx); err == nil {
			t.Error("an engine that has ended answers")
		}
	})
}
