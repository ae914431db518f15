// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/plan"
	"driverd/reason"
)

// interrupted is a guest that went down in the middle of an installation: the
// package is installed and indexed, and its modules are empty.
func interrupted(t *testing.T) *world {
	w := newWorld()
	w.boot = "first"
	w.plug(1, igb.alias)
	_, stop := w.run(t)
	after(8 * time.Second) // the transaction has begun
	stop()
	w.change(func() {
		if diff := cmp.Diff(map[string]string{igb.nevra: "first"}, w.begun); diff != "" {
			t.Errorf("kept in the middle: %s", diff)
		}
		w.boot, w.spoilt, w.has[igb.nevra] = "second", true, true
		w.installed = &kernel{w.installed.builtIn, map[string]string{igb.alias: igb.module}, w.installed.shipped, w.installed.also}
		w.installs, w.loads = nil, nil
	})
	return w
}

func TestPowerFailsInTheTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := interrupted(t)
		engine, _ := w.run(t)
		expect(t, w.device(1), plan.Installing, "")
		after(9 * time.Second)
		expect(t, w.device(1), plan.Installing, "")
		after(2 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
		w.change(func() {
			if len(w.installs) != 1 || len(w.loads) != 1 || len(w.begun) != 0 {
				t.Errorf("%d transactions, loads of %v, unfinished %v", len(w.installs), w.loads, w.begun)
			}
		})
		entries, err := engine.History(t.Context())
		if err != nil || len(entries) == 0 || entries[len(entries)-1].Action != "reinstall" ||
			entries[len(entries)-1].Message != igb.nevra+" installed again" {
			t.Errorf("the history is %+v, %v", entries, err)
		}
	})
}

// Without its repository the package stays spoilt, and the device says why; it is
// mended as soon as it can be.
func TestPowerFailsAndTheRepositoryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := interrupted(t)
		w.onInstall = func([]string) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
		w.run(t)
		after(time.Minute)
		expect(t, w.device(1), plan.Failed, reason.ProbeFailed)
		if got := w.device(1).Message; !strings.HasPrefix(got, "Exec format error; ") || !strings.HasSuffix(got, "no route") {
			t.Errorf("the message is %q", got)
		}
		w.change(func() { w.onInstall = nil })
		after(5 * time.Minute)
		expect(t, w.device(1), plan.Bound, "")
	})
}

func TestWhatIsFinishedIsNotDoneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.boot = "first"
		w.plug(1, igb.alias)
		_, stop := w.run(t)
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
		stop()
		w.change(func() { w.boot, w.installs = "second", nil })
		w.run(t)
		after(time.Minute)
		w.change(func() {
			if len(w.installs) != 0 {
				t.Errorf("and yet: %v", w.installs)
			}
		})
	})
}

// A service that starts anew in the same boot has lost nothing but its memory: what the step has
// installed without it is not installed again in the next boot, unless the step failed.
func TestRestartInTheTransaction(t *testing.T) {
	for name, test := range map[string]struct {
		installs []string // what the step does without the service
		kept     map[string]string
		again    [][]string // in the next boot
	}{
		"the step ends well": {[]string{igb.nevra}, map[string]string{}, nil},
		"the step fails":     {nil, map[string]string{igb.nevra: "first"}, [][]string{{igb.nevra}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := interrupted(t)
				w.boot, w.spoilt, w.small = "first", false, true
				w.earlier, w.earlierTakes = test.installs, 20*time.Minute
				_, stop := w.run(t)
				after(15 * time.Minute)
				expect(t, w.device(1), plan.Bound, "")
				if len(w.installs) != 0 || len(w.begun) != 1 || w.view().Restful {
					t.Errorf("before the step ends, installed are %v, unfinished %v, at rest %t", w.installs, w.begun, w.view().Restful)
				}
				after(10 * time.Minute)
				if diff := cmp.Diff(test.kept, w.begun); diff != "" || !w.view().Restful {
					t.Errorf("after it has ended, unfinished are: %s", diff)
				}
				stop()
				w.boot = "second"
				w.run(t)
				after(time.Minute)
				if diff := cmp.Diff(test.again, w.installs); diff != "" {
					t.Errorf("installed in the next boot are: %s", diff)
				}
			})
		})
	}
}

// Who only observes installs nothing again either, until that ends.
func TestPowerFailsAndTheModeIsObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := interrupted(t)
		w.mode = daemon.Observe
		engine, _ := w.run(t)
		after(time.Minute)
		w.change(func() {
			if len(w.installs) != 0 {
				t.Errorf("installed are %v", w.installs)
			}
		})
		if err := engine.SetMode(t.Context(), daemon.Auto, "uid:0"); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
	})
}

// What cannot be kept is no reason to leave a device without its driver.
func TestUnfinishedCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.full = errors.New("no space left on device")
		w.plug(1, igb.alias)
		w.run(t)
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}
