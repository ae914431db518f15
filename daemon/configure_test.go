// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"driverd/daemon"
	"driverd/daemon/config"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// What is observed is left alone, and done when the mode says so: nothing that
// was seen in the meantime is lost.
func TestObserveAndThenNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.config.Observe = true
		w.installed.installed[mega.alias] = mega.module
		w.plug(1, igb.alias)
		w.plug(2, mega.alias)
		engine, _ := w.run(t)
		after(time.Hour)
		expect(t, w.device(1), plan.Blocked, reason.ObserveOnly)
		expect(t, w.device(2), plan.Blocked, reason.ObserveOnly)
		if w.published.Mode != daemon.Observe || w.published.Status != daemon.Ready || len(w.installs)+len(w.loads) > 0 {
			t.Errorf("%+v, %d transactions, %d loads", w.published, len(w.installs), len(w.loads))
		}
		w.change(func() { w.config.Observe = false })
		engine.Kick()
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		expect(t, w.device(2), plan.Bound, "")
		if w.published.Mode != daemon.Auto {
			t.Errorf("the mode is %s", w.published.Mode)
		}
	})
}

// A transaction that runs is seen through; what would follow it is not begun.
func TestObserveFromTheMiddleOfATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, engine := installing(t)
		w.change(func() { w.config.Observe = true })
		engine.Kick()
		after(time.Second)
		expect(t, w.device(1), plan.Installing, "")
		after(time.Minute)
		expect(t, w.device(1), plan.Blocked, reason.ObserveOnly)
		if len(w.installs) != 1 || len(w.loads) != 0 {
			t.Errorf("%d transactions, %d loads", len(w.installs), len(w.loads))
		}
	})
}

// While the configuration is broken, nothing is done that it might forbid, and
// what it forbade last stays forbidden.
func TestBrokenConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.badConfig = errors.New("/etc/driverd/driverd.toml:3:1: unknown key \"mdoe\"\n/etc/driverd/driverd.toml.d/x.toml:1: no")
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Hour)
		expect(t, w.device(1), plan.Blocked, reason.ObserveOnly)
		if v := w.published; v.Mode != daemon.Observe || v.Reason != "" || strings.Contains(v.Message, "\n") ||
			!strings.Contains(v.Message, `driverd.toml:3:1: unknown key "mdoe"; /etc/driverd/driverd.toml.d/x.toml:1: no`) {
			t.Errorf("%+v", v)
		}
		w.change(func() {
			w.badConfig = nil
			w.config.Policy.Rules = []plan.Rule{{Origin: plan.Origin{File: "f", Line: 1}}}
		})
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, w.device(1), plan.Blocked, reason.Policy)
		if w.published.Message != "" || w.published.Mode != daemon.Auto {
			t.Errorf("%+v", w.published)
		}
		w.change(func() { w.config, w.badConfig = config.Config{}, errors.New("broken again") })
		after(time.Hour)
		expect(t, w.device(1), plan.Blocked, reason.Policy)
		w.change(func() { w.badConfig = nil })
		after(2 * time.Minute) // nobody has to say that it is good again
		expect(t, w.device(1), plan.Bound, "")
	})
}

// A package that is held does not come as a dependency of another one either.
func TestHeldPackageIsNotAllowedInATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.config.Policy.Holds = []plan.Hold{{Package: "kernel-modules-passthrough"}}
		w.plug(1, igb.alias)
		w.plug(2, mega.alias)
		w.run(t)
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		expect(t, w.device(2), plan.Blocked, reason.Policy)
		if len(w.allowed) != 1 || w.allowed[0] != igb.nevra {
			t.Errorf("allowed was %v", w.allowed)
		}
	})
}

// What somebody asks for is done in any mode, but not against a rule, and not
// while nobody knows what the rules are.
func TestRequestAndPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.config.Observe = true
		w.config.Policy.Rules = []plan.Rule{{Slots: []string{slot(2).String()}, Origin: plan.Origin{File: "mine.toml", Line: 7}}}
		w.config.Policy.Holds = []plan.Hold{{Package: "kernel-modules-pass*", Origin: plan.Origin{File: "mine.toml", Line: 1}}}
		w.plug(1, igb.alias)
		w.plug(2, igb.alias)
		engine, _ := w.run(t)
		ask := func(selector string) error {
			_, err := engine.Install(t.Context(), daemon.Request{Selectors: []string{selector}, Origin: "uid:0"})
			return err
		}
		for selector, place := range map[string]string{slot(2).String(): "mine.toml:7", "kmod(megaraid_sas.ko)": "mine.toml:1"} {
			if err := ask(selector); !errors.Is(err, daemon.ErrRefused) || !strings.Contains(err.Error(), place) {
				t.Errorf("%s: %v", selector, err)
			}
		}
		w.change(func() { w.badConfig = errors.New("mine.toml:3:1: unknown key") })
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ask(slot(1).String()); !errors.Is(err, daemon.ErrRefused) || !strings.Contains(err.Error(), "mine.toml:3:1") {
			t.Errorf("with a mistake in the configuration: %v", err)
		}
		w.change(func() { w.badConfig = nil })
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ask(slot(1).String()); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		expect(t, w.device(2), plan.Blocked, reason.Policy)
	})
}

// law forbids modules by name.
type law map[string]string

func (l law) Denial(_, module string) string { return l[module] }

// What must not be loaded is not fetched, until somebody allows it.
func TestForbiddenModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.shipped[igb.alias] = hwdetect.Module{Name: igb.module, Group: "sriov"}
		w.law = law{igb.module: `"blacklist igb" in /etc/modprobe.d/dpdk.conf:3`}
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Hour)
		d := w.device(1)
		if d.State != plan.Blocked || d.Reason != reason.Blacklisted || !strings.Contains(d.Message, "/etc/modprobe.d/dpdk.conf:3") {
			t.Errorf("it is %s (%s): %s", d.State, d.Reason, d.Message)
		}
		if _, err := engine.Install(t.Context(), daemon.Request{Selectors: []string{slot(1).String()}}); !errors.Is(err, daemon.ErrRefused) {
			t.Errorf("who asks for it gets %v", err)
		}
		if len(w.installs) > 0 || len(w.loads) > 0 {
			t.Errorf("installed %v, loaded %v", w.installs, w.loads)
		}
		w.change(func() { w.law = nil })
		engine.Kick()
		after(time.Minute)
		if d := w.device(1); d.State != plan.Bound {
			t.Errorf("once it is allowed it is %s: %s", d.State, d.Message)
		}
	})
}
