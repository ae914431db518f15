// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/plan"
	"driverd/reason"
)

func TestExplainWhatBecameOfADevice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		unreachable := reason.With(reason.RepoUnreachable, errors.New("cannot download: no route"))
		w.onInstall = func([]string) error { return unreachable }
		engine, _ := w.run(t)

		after(time.Second)
		x, err := engine.Explain(t.Context(), "0000:01:00.0")
		if err != nil || x.Want.Action != plan.Install || x.Device.State != plan.Installing {
			t.Fatalf("%+v, %v", x, err)
		}
		if diff := cmp.Diff([]daemon.Attempt{{Step: "install", Job: 1, Running: true}}, x.Attempts); diff != "" {
			t.Error(diff)
		}

		after(11 * time.Second) // the transaction has failed
		x, err = engine.Explain(t.Context(), "0000:01:00.0")
		if err != nil || x.Device.State != plan.Unavailable || len(x.Attempts) != 1 {
			t.Fatalf("%+v, %v", x, err)
		}
		a := x.Attempts[0]
		if a.Step != "install" || a.Running || !errors.Is(a.Err, unreachable) || a.Tries != 1 || !a.RetryAt.After(time.Now()) {
			t.Errorf("%+v", a)
		}

		w.change(func() { w.onInstall = nil })
		after(time.Minute)
		x, err = engine.Explain(t.Context(), "0000:01:00.0")
		if err != nil || x.Device.State != plan.Bound || x.Attempts != nil || !x.Packages[0].Installed {
			t.Errorf("%+v, %v", x, err)
		}
	})
}

func TestExplainWithoutACatalog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		w.onList = func(context.Context) error {
			return reason.With(reason.BackendMissing, errors.New("cannot reach dnf5daemon"))
		}
		engine, _ := w.run(t)
		x, err := engine.Explain(t.Context(), "0000:01:00.0")
		if err != nil || len(x.Attempts) != 1 {
			t.Fatalf("%+v, %v", x, err)
		}
		if a := x.Attempts[0]; a.Step != "learn" || a.Tries != 1 || reason.Of(a.Err) != reason.BackendMissing || !a.RetryAt.After(time.Now()) {
			t.Errorf("%+v", a)
		}
	})
}

// Everybody may ask: that ends no pause between two tries, and begins no listing.
func TestAskingIsNoTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		w.onList = func(context.Context) error {
			return reason.With(reason.BackendMissing, errors.New("cannot reach dnf5daemon"))
		}
		engine, _ := w.run(t)
		after(time.Second)
		attempts := func() []daemon.Attempt {
			x, err := engine.Explain(t.Context(), "0000:01:00.0")
			if err != nil {
				t.Fatal(err)
			}
			return x.Attempts
		}
		before := attempts()
		for range 100 {
			if _, err := engine.Plan(t.Context(), []string{"0000:01:00.0"}); err == nil {
				t.Fatal("there is a plan, and no catalog")
			}
			attempts()
		}
		if after := attempts(); len(after) != 1 || after[0].Tries != 1 || !after[0].RetryAt.Equal(before[0].RetryAt) || w.listings != 1 {
			t.Errorf("%d listings, and now %+v; before it was %+v", w.listings, after, before)
		}
	})
}

func TestExplainAnswersOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine, stop := newWorld().run(t)
		for what, want := range map[string]error{
			"0000:01:00.0": daemon.ErrNoSuchDevice,
			"0000:00:00.0": daemon.ErrNoSuchDevice, // the zero slot is one like another
			"nonsense":     daemon.ErrNotUnderstood,
			"8086:10c9":    nil,
			igb.alias:      nil,
			edu:            nil,
		} {
			if x, err := engine.Explain(t.Context(), what); !errors.Is(err, want) || err == nil && (x.What != what || x.Device != nil) {
				t.Errorf("%s: %+v, %v", what, x, err)
			}
		}
		stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := engine.Explain(ctx, edu); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an engine that has ended: %v", err)
		}
	})
}
