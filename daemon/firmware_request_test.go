// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/plan"
	"driverd/reason"
)

// asksFor has somebody ask for what selectors name, and returns the job once it
// has ended.
func (w *world) asksFor(t *testing.T, selectors ...string) daemon.Job {
	t.Helper()
	engine, _ := w.run(t)
	after(time.Second)
	number := install(t, engine, selectors...)
	if again := install(t, engine, selectors...); w.job(number).State == daemon.JobRunning && again != number {
		t.Errorf("who asks for the same gets job %d", again)
	}
	after(time.Minute)
	return w.job(number)
}

func TestFirmwareThatIsAskedFor(t *testing.T) {
	for name, test := range map[string]struct {
		selectors []string
		change    func(*world)
		installs  [][]string
		state     daemon.JobState
		reason    reason.Reason
		says      string
	}{
		"by its package":           {[]string{"firmware(" + qedFile + ")"}, nil, [][]string{{qed}}, daemon.JobDone, "", qed + " installed"},
		"by the lists of files":    {[]string{"firmware(" + e100File + ")"}, nil, [][]string{{e100}}, daemon.JobDone, "", e100 + " installed"},
		"two files":                {[]string{"firmware(" + qedFile + ")", "firmware(" + e100File + ")"}, nil, [][]string{{e100, qed}}, daemon.JobDone, "", " installed"},
		"with a driver":            {[]string{"passthrough", "firmware(" + qedFile + ")"}, nil, [][]string{{mega.nevra, qed}}, daemon.JobDone, "", " installed"},
		"it is there":              {[]string{"firmware(" + qedFile + ")"}, func(w *world) { w.lacking = nil }, nil, daemon.JobDone, "", "/lib/firmware/" + qedFile + " is there already"},
		"before the catalog comes": {[]string{"firmware(" + qedFile + ")"}, func(w *world) { w.onList = never }, [][]string{{qed}}, daemon.JobDone, "", qed + " installed"},
		"nobody has it": {
			[]string{"firmware(" + qedFile + ")"}, func(w *world) { w.firmware = nil }, nil,
			daemon.JobFailed, reason.FirmwareMissing, "no package that could be installed has /lib/firmware/" + qedFile,
		},
		"the driver comes without it": {
			[]string{"passthrough", "firmware(" + qedFile + ")"}, func(w *world) { w.firmware = nil }, [][]string{{mega.nevra}},
			daemon.JobFailed, reason.FirmwareMissing, mega.nevra + " installed; without firmware: no package",
		},
		"it is held": {
			[]string{"firmware(" + qedFile + ")"}, func(w *world) { w.config.Policy.Holds = []plan.Hold{{Package: "qed-*"}} }, nil,
			daemon.JobFailed, reason.FirmwareMissing, qedFile,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFirmwareWorld()
				if test.change != nil {
					test.change(w)
				}
				j := w.asksFor(t, test.selectors...)
				if j.State != test.state || j.Reason != test.reason || !strings.Contains(j.Message, test.says) {
					t.Errorf("the job is %s (%s): %s", j.State, j.Reason, j.Message)
				}
				if diff := cmp.Diff(test.installs, w.transactions()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// never is how the repositories answer when they do not.
func never(ctx context.Context) error { return spend(ctx, time.Hour) }

func TestPlanOfFirmware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		engine, _ := w.run(t)
		after(time.Second)
		p, err := engine.Plan(t.Context(), []string{"firmware(" + qedFile + ")"})
		if err != nil || len(p.Packages) != 1 || p.Packages[0].NEVRA != qed {
			t.Errorf("the plan is %+v, %v", p, err)
		}
		w.change(func() { w.firmware = slices.Delete(w.firmware, 0, 1) })
		if _, err := engine.Plan(t.Context(), []string{"sriov", "firmware(" + qedFile + ")"}); !errors.Is(err, daemon.ErrNoCandidate) || !strings.Contains(err.Error(), qedFile) {
			t.Errorf("without the package: %v", err)
		}
	})
}
