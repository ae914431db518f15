// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// polkit says no, and systemd nothing, while they are restarted: the step was not
// tried, and is tried again.
func TestLoadStepThatCouldNotBeStarted(t *testing.T) {
	for name, err := range map[string]error{
		"polkit is restarted":  reason.With(reason.NotAuthorized, errors.New("cannot start it: polkit is away")),
		"systemd is restarted": reason.With(reason.ProbeFailed, reason.NotStarted(errors.New("cannot start it"))),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.installed.installed[igb.alias] = igb.module
				w.onLoad = func(hwdetect.Slot) error { return err }
				w.plug(1, igb.alias)
				w.run(t)
				after(time.Second)
				expect(t, w.device(1), plan.StateOf(reason.Of(err)), reason.Of(err))
				w.change(func() { w.onLoad = nil })
				after(time.Minute)
				expect(t, w.device(1), plan.Bound, "")
			})
		})
	}
}

func TestLoadStepThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.installed[igb.alias] = igb.module
		w.plug(1, igb.alias)
		w.onLoadContext = func(ctx context.Context) error { return spend(ctx, 24*time.Hour) }
		w.run(t)
		after(5 * time.Minute)
		expect(t, w.device(1), plan.Loading, "")
		after(2 * time.Minute)
		expect(t, w.device(1), plan.Failed, reason.ProbeFailed)
		if m := w.device(1).Message; !strings.Contains(m, "has not ended") {
			t.Error(m)
		}
	})
}

// systemd has one unit for a slot: who starts it while it runs gets the step of the
// card that was there before.
func TestAnotherCardDuringTheLoadStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.installed[igb.alias] = igb.module
		w.installed.installed[mega.alias] = mega.module
		running := false
		w.onLoad = func(hwdetect.Slot) error {
			if running {
				w.mu.Unlock()
				time.Sleep(5 * time.Second)
				w.mu.Lock()
				return nil // the step of the first card has ended
			}
			running = true
			w.mu.Unlock()
			time.Sleep(5 * time.Second)
			w.mu.Lock()
			running = false
			w.onLoad = nil
			return nil
		}
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Second)
		w.plug(1, mega.alias)
		engine.Kick()
		after(time.Minute)
		d := w.device(1)
		expect(t, d, plan.Bound, "")
		if d.Driver != mega.module {
			t.Errorf("the driver is %q", d.Driver)
		}
	})
}

// Who cancels a request that waits has the device say so, and be brought its firmware
// when that is asked for again.
func TestCancelledWhileItWaitsForFirmware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.installed.installed[igb.alias] = igb.module
		w.kernelAsks(qedFile)
		asks := w.onLoad
		w.onLoad = func(s hwdetect.Slot) error {
			if s == slot(1) {
				w.offer(s, mega.module)
				return nil
			}
			return asks(s)
		}
		w.plug(9, igb.alias)
		w.plug(1, mega.alias)
		engine, _ := w.run(t)
		after(time.Second)
		expect(t, w.device(1), plan.Installing, "")
		expect(t, w.device(9), plan.Pending, "")
		number := install(t, engine, slot(9).String(), "firmware("+e100File+")")
		after(time.Second)
		expectJob(t, w.job(number), daemon.JobRunning, daemon.PhaseWaiting, "")
		if err := engine.Cancel(t.Context(), number, "uid:1000"); err != nil {
			t.Fatal(err)
		}
		after(time.Hour)
		expect(t, w.device(9), plan.Failed, reason.FirmwareMissing)
		if m := w.device(9).Message; !strings.Contains(m, "cancelled by uid:1000") {
			t.Error(m)
		}
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expect(t, w.device(9), plan.Bound, "")
	})
}

// A package that a driver is being loaded from when its transaction fails is made
// whole in this boot.
func TestTransactionFailsDuringTheEarlyLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.early = true
		fails := 1
		w.onInstall = func([]string) error {
			if fails--; fails >= 0 {
				return reason.With(reason.BackendMissing, errors.New("dnf5daemon was killed"))
			}
			return nil
		}
		w.onLoad = func(s hwdetect.Slot) error {
			w.mu.Unlock()
			time.Sleep(10 * time.Second) // longer than the transaction
			w.mu.Lock()
			w.offer(s, igb.module)
			return nil
		}
		w.plug(1, igb.alias)
		w.run(t)
		after(12 * time.Second)
		expectJob(t, w.job(1), daemon.JobFailed, daemon.PhaseInstall, "was killed")
		expect(t, w.device(1), plan.Loading, "")
		after(10 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
		after(time.Minute)
		if diff := cmp.Diff([]string{igb.nevra}, w.brought()); diff != "" {
			t.Errorf("installed: %s", diff)
		}
		after(time.Hour)
		if got := len(w.transactions()); got != 2 {
			t.Errorf("%d transactions", got)
		}
	})
}

// What somebody asked for is done as the configuration is when its turn comes.
func TestConfigurationChangesWhileARequestWaits(t *testing.T) {
	origin := plan.Origin{File: "mine.toml", Line: 7}
	for name, test := range map[string]struct {
		change func(*world)
		reason reason.Reason
		says   string
	}{
		"a hold": {func(w *world) { w.config.Policy.Holds = []plan.Hold{{Package: "kernel-modules-pass*", Origin: origin}} }, reason.Policy, "mine.toml:7"},
		"a rule": {func(w *world) {
			w.config.Policy.Rules = []plan.Rule{{Slots: []string{slot(2).String()}, Origin: origin}}
		}, reason.Policy, "mine.toml:7"},
		"a mistake": {func(w *world) { w.badConfig = errors.New("mine.toml:1: no") }, reason.ObserveOnly, "mine.toml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, engine := installing(t)
				w.plug(2, mega.alias)
				engine.Kick()
				after(time.Second)
				number := install(t, engine, slot(2).String())
				w.change(func() { test.change(w) })
				engine.Kick()
				after(time.Minute)
				expectJob(t, w.job(number), daemon.JobFailed, daemon.PhaseWaiting, test.says)
				if got := w.job(number).Reason; got != test.reason {
					t.Errorf("the reason is %q", got)
				}
				if diff := cmp.Diff([][]string{{igb.nevra}}, w.transactions()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Cancelling a job that waits leaves the devices alone of one that is at work.
func TestCancelOfAWaitingJobLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, engine := installing(t)
		number := install(t, engine, slot(1).String(), "passthrough")
		if err := engine.Cancel(t.Context(), number, "uid:0"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expectJob(t, w.job(number), daemon.JobCancelled, daemon.PhaseWaiting, "")
		expect(t, w.device(1), plan.Installing, "")
		if got := w.device(1).Job; got != 1 {
			t.Errorf("the device has job %d", got)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
	})
}

// A card is not failed for what another one did that was there before; and of those
// that fail together, each speaks of its own slot.
func TestSecondCardOfTheSameKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.installed[mega.alias] = mega.module
		w.inKernel = []string{mega.module}
		w.onLoad = func(s hwdetect.Slot) error {
			if s == slot(3) {
				w.offer(s, "") // nobody gets it but this one
				d := w.devices[s]
				d.Driver = mega.module
				w.devices[s] = d
				return nil
			}
			return reason.With(reason.ProbeFailed, fmt.Errorf("cannot load the driver of %s: it is broken", s))
		}
		w.plug(1, mega.alias)
		w.plug(2, mega.alias)
		engine, _ := w.run(t)
		after(time.Minute)
		for _, n := range []uint8{1, 2} {
			expect(t, w.device(n), plan.Failed, reason.ProbeFailed)
			if m := w.device(n).Message; m != fmt.Sprintf("cannot load the driver of %s: it is broken", slot(n)) {
				t.Errorf("%s says %s", slot(n), m)
			}
		}
		if len(w.loads) != 1 {
			t.Errorf("load steps of %v for two that came together", w.loads)
		}
		w.plug(3, mega.alias)
		engine.Kick()
		after(time.Minute)
		expect(t, w.device(3), plan.Bound, "")
		expect(t, w.device(1), plan.Failed, reason.ProbeFailed)
	})
}

// The package database was locked when the transaction was to begin. It has not begun:
// it can be cancelled.
func TestCancelAfterALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.locked = true
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(10 * time.Second)
		if err := engine.Cancel(t.Context(), 1, "uid:0"); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expectJob(t, w.job(1), daemon.JobCancelled, daemon.PhaseResolve, "")
		expect(t, w.device(1), plan.Blocked, reason.Policy)
		w.change(func() {
			if len(w.has) > 0 || len(w.begun) > 0 {
				t.Errorf("installed %v, unfinished %v", w.has, w.begun)
			}
		})
	})
}

// Anybody may ask for a plan, as often as they like: the repositories are not asked
// more often for that.
func TestPlanDoesNotDefeatTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onList = func(context.Context) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Second)
		listings := w.listings
		for range 20 {
			if _, err := engine.Plan(t.Context(), nil); !errors.Is(err, daemon.ErrBackendFailed) {
				t.Fatal(err)
			}
			after(time.Second)
		}
		if w.listings != listings {
			t.Errorf("the repositories were asked %d times more", w.listings-listings)
		}
	})
}

// A package whose driver failed, and that somebody has removed since, is installed again.
func TestPackageThatWasRemovedIsInstalledAgain(t *testing.T) {
	for name, problem := range map[string]error{
		"its driver failed":   reason.With(reason.ProbeFailed, errors.New("probe failed with error -5")),
		"it was denied":       reason.With(reason.Blacklisted, errors.New("it is denied")),
		"polkit was away too": reason.With(reason.NotAuthorized, reason.NotStarted(errors.New("polkit is away"))),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.onLoad = func(hwdetect.Slot) error { return problem }
				w.plug(1, igb.alias)
				engine, _ := w.run(t)
				after(20 * time.Second)
				expect(t, w.device(1), plan.StateOf(reason.Of(problem)), reason.Of(problem))
				w.change(func() {
					w.installed = &kernel{map[string]string{}, map[string]string{}, map[string]hwdetect.Module{}, nil}
					delete(w.has, igb.nevra)
					w.onLoad = nil
				})
				engine.Kick()
				after(time.Minute)
				expect(t, w.device(1), plan.Bound, "")
				if diff := cmp.Diff([][]string{{igb.nevra}, {igb.nevra}}, w.transactions()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}
