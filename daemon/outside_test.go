// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"driverd/plan"
	"driverd/reason"
)

func (w *world) Ways() []string {
	if w.onWays != nil {
		w.onWays()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ways)
}

func (w *world) Repositories() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.repositories
}

// A way out of the guest, or another configuration of the repositories, ends the
// pause between two tries if it may help, and no other pause.
func TestKicksFromOutside(t *testing.T) {
	network := func(w *world) { w.ways = append(w.ways, "10.0.2.15/24 on eth0") }
	repositories := func(w *world) { w.repositories += "lab.repo" }
	for name, test := range map[string]struct {
		why   reason.Reason
		kick  func(*world)
		tries bool
	}{
		"network":                       {reason.RepoUnreachable, network, true},
		"network goes":                  {reason.RepoUnreachable, func(w *world) { w.ways = nil }, false},
		"another repository":            {reason.RepoUnreachable, repositories, true},
		"repository with the package":   {reason.NoPackage, repositories, true},
		"repository with the kernel":    {reason.StaleKernel, repositories, true},
		"repository with its key":       {reason.UntrustedPackage, repositories, true},
		"repository without the update": {reason.TransactionRefused, repositories, true},
		"network, and no package":       {reason.NoPackage, network, false},
		"network, and no key":           {reason.UntrustedPackage, network, false},
		"network, and no space":         {reason.NoSpace, network, false},
		"repository, and no space":      {reason.NoSpace, repositories, false},
		"repository, and no backend":    {reason.BackendMissing, repositories, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.ways = []string{"192.0.2.1/32 on lo"}
				w.onInstall = func([]string) error { return reason.With(test.why, errors.New("not today")) }
				w.plug(1, igb.alias)
				engine, _ := w.run(t)
				after(20 * time.Minute)
				expect(t, w.device(1), plan.StateOf(test.why), test.why)
				installs := len(w.installs)
				w.change(func() { test.kick(w); w.onInstall = nil })
				engine.Kick()
				after(time.Second)
				if !test.tries {
					expect(t, w.device(1), plan.StateOf(test.why), test.why)
					return
				}
				expect(t, w.device(1), plan.Installing, "")
				after(20 * time.Second)
				expect(t, w.device(1), plan.Bound, "")
				if got := len(w.installs) - installs; got != 1 {
					t.Errorf("%d transactions", got)
				}
			})
		})
	}
}

// What changes while a try is under way may have come too late for it: there is
// another one, and one only.
func TestKickWhileTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onInstall = func([]string) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(5 * time.Second)
		expect(t, w.device(1), plan.Installing, "")
		w.change(func() { w.ways = []string{"10.0.2.15/24 on eth0"} })
		engine.Kick()
		after(22 * time.Second)
		expect(t, w.device(1), plan.Unavailable, reason.RepoUnreachable)
		if got := len(w.installs); got != 2 {
			t.Errorf("%d tries, want two", got)
		}
	})
}

// At the first boot the service is there before the network. It learns what it
// could not as soon as it can.
func TestCatalogIsLearnedWhenTheNetworkComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.onList = func(ctx context.Context) error {
			if err := spend(ctx, 5*time.Second); err != nil || len(w.Ways()) > 0 {
				return err
			}
			return reason.With(reason.RepoUnreachable, errors.New("no route"))
		}
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(20 * time.Minute)
		expect(t, w.device(1), plan.Unavailable, reason.RepoUnreachable)
		w.change(func() { w.ways = []string{"default via 10.0.2.2 on eth0"} })
		engine.Kick()
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}

// A repository that was not there when the catalog was learned may know more.
func TestCatalogIsLearnedFromAnotherRepository(t *testing.T) {
	for name, without := range map[string]int{"of no package": 0, "of another device": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				all := w.packages
				w.packages = all[:without]
				w.plug(1, mega.alias)
				engine, _ := w.run(t)
				after(20 * time.Minute)
				if got := w.device(1).State; got == plan.Bound {
					t.Fatalf("it is %s", got)
				}
				w.change(func() { w.packages, w.repositories = all, "archive.repo" })
				engine.Kick()
				after(20 * time.Second)
				expect(t, w.device(1), plan.Bound, "")
				listings := w.listings
				after(20 * time.Hour)
				if w.listings != listings {
					t.Errorf("the repositories were asked %d times more", w.listings-listings)
				}
			})
		})
	}
}

// The service may be restarted between a change of the repositories and its answer to
// that, and it may have been down when they changed.
func TestRepositoriesChangeWhileTheServiceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		all := w.packages
		w.packages = all[:1]
		w.plug(1, mega.alias)
		_, stop := w.run(t)
		after(time.Minute)
		expect(t, w.device(1), plan.Unsupported, reason.NoDriver)
		stop()
		listings := w.listings
		_, stop = w.run(t)
		after(time.Minute)
		if w.listings != listings {
			t.Errorf("the repositories, as they were, were asked %d times more", w.listings-listings)
		}
		stop()
		w.change(func() { w.packages, w.repositories = all, "archive.repo" })
		w.run(t)
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}

// The kernel shows its network to nobody while a driver holds rtnl_lock, and waits for
// its card. That is the moment in which another card is needed most.
func TestNetworkThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		stuck := make(chan struct{})
		defer close(stuck)
		w.onWays = func() { <-stuck }
		w.plug(1, igb.alias)
		w.run(t)
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}
