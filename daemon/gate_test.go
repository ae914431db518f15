// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"driverd/daemon"
	"driverd/plan"
	"driverd/reason"
)

// Behind a closed gate nothing is looked at, asked for or done; whoever wants
// something is told why not.
func TestClosedGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.gate = reason.With(reason.Container, errors.New("this is a container"))
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		engine.Kick()
		after(time.Hour)
		if v := w.published; v.Status != daemon.Inactive || v.Reason != reason.Container || v.Message != "this is a container" || len(v.Devices) > 0 {
			t.Errorf("%+v", v)
		}
		_, install := engine.Install(t.Context(), daemon.Request{Selectors: []string{"8086:10c9"}})
		_, plan := engine.Plan(t.Context(), nil)
		_, explain := engine.Explain(t.Context(), "8086:10c9")
		for call, err := range map[string]error{"Rescan": engine.Rescan(t.Context()), "Install": install, "Plan": plan, "Explain": explain} {
			if !errors.Is(err, daemon.ErrRefused) || err.Error() != "this is a container" {
				t.Errorf("%s: %v", call, err)
			}
		}
		if w.looks+w.listings+len(w.installs)+len(w.loads) > 0 {
			t.Errorf("%d looks, %d listings, %d transactions, %d loads", w.looks, w.listings, len(w.installs), len(w.loads))
		}
	})
}

// That no package owns the kernel may be known only when the repositories and
// the package database were asked.
func TestForeignKernelIsFoundOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		known := w.packages
		w.packages = nil
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Second)
		expect(t, w.device(1), plan.Blocked, reason.ForeignKernel)
		if v := w.published; v.Status != daemon.Inactive || v.Reason != reason.ForeignKernel || v.Message == "" {
			t.Errorf("%+v", v)
		}
		w.change(func() { w.packages = known })
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if w.published.Status != daemon.Ready || w.published.Reason != "" {
			t.Errorf("%+v", w.published)
		}
	})
}
