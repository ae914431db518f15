// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"slices"
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

func TestBoundBeforeTheTransactionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.early = true
		w.plug(1, igb.alias)
		w.plug(2, mega.alias)
		w.plug(4, igb.alias)
		w.onLoad = func(s hwdetect.Slot) error {
			w.offer(s, w.unpacked[w.devices[s].Modalias])
			return nil
		}
		engine, _ := w.run(t)
		after(8 * time.Second)
		for _, n := range []uint8{1, 2, 4} {
			expect(t, w.device(n), plan.Bound, "")
		}
		if diff := cmp.Diff([]string{"seen", "decided", "resolved", "downloaded", "unpacked", "bound", "complete", "settled"}, steps(w.device(4))); diff != "" {
			t.Errorf("a card whose twin's load step was enough: %s", diff)
		}
		want := []string{"seen", "decided", "resolved", "downloaded", "unpacked", "loaded", "bound", "complete", "settled"}
		if diff := cmp.Diff(want, steps(w.device(1))); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]hwdetect.Slot{slot(1), slot(2)}, w.prepared); diff != "" {
			t.Errorf("load steps that were readied: %s", diff)
		}
		w.plug(3, igb.alias) // which the job is not for
		engine.Kick()
		after(time.Second)
		expect(t, w.device(3), plan.Bound, "")
		w.change(func() {
			if len(w.installed.installed) != 0 {
				t.Error("the transaction has ended")
			}
		})
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if len(w.installs) != 1 || len(w.loads) != 3 {
			t.Errorf("%d transactions, loads of %v", len(w.installs), w.loads)
		}
	})
}

// The driver of a sound card asks the kernel for those of its codecs while it probes, which takes
// depmod's index.
func TestSoundIsNotLoadedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.early = true
		w.plug(1, igb.alias)
		w.change(func() {
			d := w.devices[slot(1)]
			d.Class = 0x040300
			w.devices[slot(1)] = d
		})
		w.run(t)
		after(9 * time.Second)
		expect(t, w.device(1), plan.Installing, "")
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if len(w.loads) != 1 || len(w.prepared) != 0 {
			t.Errorf("loads of %v, readied for %v", w.loads, w.prepared)
		}
	})
}

// A card that has its driver from a package that then did not get into the
// package database stays bound, and the package is tried again.
func TestTransactionFailsAfterTheDriverIsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.early = true
		tries := 0
		w.onInstall = func([]string) error {
			if tries++; tries < 3 {
				return reason.With(reason.BackendMissing, errors.New("dnf5daemon was killed"))
			}
			return nil
		}
		w.plug(1, igb.alias)
		w.run(t)
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
		after(5 * time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		w.change(func() {
			if !w.has[igb.nevra] || len(w.installs) != 3 || len(w.loads) != 1 {
				t.Errorf("installed: %v, transactions %v, loads of %v", w.has, w.installs, w.loads)
			}
		})
		if job := w.job(3); job.State != daemon.JobDone {
			t.Errorf("the last job is %+v", job)
		}
		after(time.Hour)
		w.change(func() {
			if len(w.installs) != 3 {
				t.Errorf("and once more: %v", w.installs)
			}
		})
	})
}

// What goes wrong early is tried once, and does not show.
func TestEarlyFailureIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.early = true
		why := reason.ProbeFailed
		w.onLoad = func(hwdetect.Slot) error { return reason.With(why, errors.New("cut short")) }
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(8 * time.Second)
		expect(t, w.device(1), plan.Installing, "")
		engine.Kick()
		after(time.Second)
		expect(t, w.device(1), plan.Installing, "")
		w.change(func() { why = reason.KeyRejected })
		after(5 * time.Second)
		expect(t, w.device(1), plan.Blocked, reason.KeyRejected)
		if slices.Contains(steps(w.device(1)), "loaded") || len(w.loads) != 2 {
			t.Errorf("%v, loads of %v", steps(w.device(1)), w.loads)
		}
	})
}

// A step that is still under way when the transaction ends is waited for.
func TestEarlyStepOutlivesTheTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.early = true
		gate := make(chan error)
		w.onLoad = func(hwdetect.Slot) error {
			w.mu.Unlock() // the world goes on meanwhile
			defer w.mu.Lock()
			return <-gate
		}
		w.plug(1, igb.alias)
		w.run(t)
		after(15 * time.Second)
		expect(t, w.device(1), plan.Loading, "")
		w.change(func() { w.onLoad = nil })
		gate <- errors.New("too early")
		after(time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}

// A package that is known to be installed, and is not in the module index: the load
// step can do without, unless there is nothing in the package for the device.
func TestKnownAsInstalledAndNotIndexed(t *testing.T) {
	for name, files := range map[string]bool{"its files are there": true, "they are not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.packages[0].RepoID, w.has[igb.nevra] = "", true
				if files {
					w.unpacked[igb.alias] = igb.module
				}
				w.plug(1, igb.alias)
				w.run(t)
				after(20 * time.Second)
				if files {
					expect(t, w.device(1), plan.Bound, "")
				} else {
					expect(t, w.device(1), plan.Failed, reason.TransactionFailed)
					if got := w.device(1).Message; !strings.HasSuffix(got, "run dnf5 reinstall "+igb.nevra) {
						t.Errorf("the message is %q", got)
					}
				}
				w.change(func() {
					if len(w.installs) > 0 {
						t.Errorf("installed are %v", w.installs)
					}
				})
			})
		})
	}
}
