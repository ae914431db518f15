// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/hwdetect"
	"driverd/plan"
)

// A job takes in what is needed by devices that come before it begins to install: they
// have their drivers by one transaction.
func TestJobTakesInDevicesUntilItCommits(t *testing.T) {
	for name, test := range map[string]struct {
		second string        // what is plugged in
		after  time.Duration // since the job began
		brings []string      // what the first job brings in the end
		serves []hwdetect.Slot
	}{
		"alike":                  {igb.alias, 2 * time.Second, []string{igb.nevra}, []hwdetect.Slot{slot(1), slot(2)}},
		"another package":        {mega.alias, 2 * time.Second, []string{mega.nevra, igb.nevra}, []hwdetect.Slot{slot(1), slot(2)}},
		"another, and too late":  {mega.alias, 6 * time.Second, []string{igb.nevra}, []hwdetect.Slot{slot(1)}},
		"nothing can be brought": {edu, 2 * time.Second, []string{igb.nevra}, []hwdetect.Slot{slot(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.plug(1, igb.alias)
				engine, _ := w.run(t)
				after(test.after)
				w.plug(2, test.second)
				engine.Kick()
				after(time.Minute)
				expect(t, w.device(1), plan.Bound, "")
				j := w.job(1)
				expectJob(t, j, daemon.JobDone, daemon.PhaseLoad, "")
				if diff := cmp.Diff(test.brings, j.Packages); diff != "" || !slices.Equal(j.Devices, test.serves) {
					t.Errorf("for %v: %s", j.Devices, diff)
				}
				if test.second != edu {
					expect(t, w.device(2), plan.Bound, "")
				}
			})
		})
	}
}

// What somebody asks for is a job of its own, which cancelling cancels nothing else.
func TestRequestIsNotTakenIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.config.Observe = true
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Second)
		first := install(t, engine, slot(1).String())
		w.plug(2, mega.alias)
		second := install(t, engine, "passthrough")
		after(time.Minute)
		if first == second || !slices.Equal(w.job(first).Packages, []string{igb.nevra}) || !slices.Equal(w.job(second).Packages, []string{mega.nevra}) {
			t.Errorf("jobs %+v", w.view().Jobs)
		}
	})
}
