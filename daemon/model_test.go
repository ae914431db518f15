// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/daemon"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/plan"
	"driverd/reason"
)

// model is a guest to which anything happens in any order.
type model struct {
	*world
	t       *testing.T
	engine  *daemon.Engine
	stop    func()
	journal journal
	last    uint64 // the newest job that somebody asked for
}

// journal reads the log as it is written: it never speaks of a device that is gone.
type journal struct {
	here  map[string]bool
	wrong error
}

func (j *journal) Write(line []byte) (int, error) {
	var entry struct{ Event, Slot, State string }
	if err := json.Unmarshal(line, &entry); err != nil {
		return 0, err
	}
	switch {
	case entry.Event == "device-added":
		j.here[entry.Slot] = true
	case entry.Event == "device-removed":
		j.here[entry.Slot] = false
	case entry.State != "" && !j.here[entry.Slot] && j.wrong == nil:
		j.wrong = fmt.Errorf("the journal speaks of a device that is gone: %s", line)
	}
	return len(line), nil
}

func newModel(t *testing.T, installed []driver) *model {
	m := &model{world: newFirmwareWorld(), t: t, journal: journal{here: make(map[string]bool)}}
	for _, d := range installed {
		m.has[d.nevra], m.installed.installed[d.alias] = true, d.module
	}
	m.boot, m.log = "first", &m.journal
	m.parts = make(map[hwdetect.Slot]hwdetect.Parts)
	m.engine, m.stop = m.run(t)
	return m
}

// problems are what the package manager can fail with.
var problems = []reason.Reason{
	reason.None, reason.RepoUnreachable, reason.BackendBusy, reason.BackendMissing, reason.NotAuthorized, reason.NoSpace,
	reason.NoPackage, reason.TransactionFailed, reason.TransactionRefused, reason.UntrustedPackage,
}

// failures are what the load step can fail with.
var failures = []error{
	nil, reason.With(reason.ProbeFailed, errors.New("it is not ready")), reason.With(reason.Blacklisted, errors.New("it is denied")),
	reason.With(reason.NotAuthorized, reason.NotStarted(errors.New("polkit is away"))), reason.With(reason.NoDriver, errors.New("nothing claims it")),
	&firmware.MissingError{Files: []string{qedFile}, Err: errors.New("it lacks " + qedFile)}, errors.New("no reason"),
}

// pauses are how long nothing happens.
var pauses = []time.Duration{
	0, 10 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second, 7 * time.Second, 8 * time.Second, 30 * time.Second, 30 * time.Hour,
}

// notice has the engine see what has changed, in most cases.
func (m *model) notice(n int) {
	if n%6 > 0 {
		m.engine.Kick()
		time.Sleep(300 * time.Millisecond)
	}
}

// happenings are what can happen; n chooses among variants of it.
var happenings = []struct {
	name string
	do   func(m *model, n int)
}{
	{"plug", func(m *model, n int) {
		m.plug(uint8(n%4), []string{igb.alias, mega.alias, igb.alias, mega.alias, edu}[n%5])
		m.notice(n)
	}},
	{"unplug", func(m *model, n int) {
		m.unplug(uint8(n % 4))
		m.notice(n)
	}},
	{"swap", func(m *model, n int) {
		m.unplug(uint8(n % 4))
		m.plug(uint8(n%4), []string{mega.alias, igb.alias}[n%2])
		m.notice(n)
	}},
	{"child", func(m *model, n int) { // one comes, gets its driver, or its modules come
		s := slot(uint8(n % 4))
		m.change(func() {
			child := hwdetect.Child{Path: "3-1:1.0", Modalias: storage, Driver: []string{"", "usb-storage"}[n%2]}
			m.parts[s] = hwdetect.Parts{Binding: uint64(n % 3), Children: []hwdetect.Child{child}}
			m.claims = map[string]hwdetect.ChildModules{storage: {}}
			if n%5 > 0 {
				m.claims[storage] = hwdetect.ChildModules{Installed: []string{"usb_storage"}}
			}
		})
		m.engine.Changed(s)
	}},
	{"kick", func(m *model, _ int) { m.engine.Kick() }},
	{"dnf", func(m *model, n int) { // somebody installs a package, or removes it
		m.change(func() {
			next := &kernel{m.installed.builtIn, maps.Clone(m.installed.installed), m.installed.shipped, m.installed.also}
			if m.has[igb.nevra] = n%3 > 0; m.has[igb.nevra] {
				next.installed[igb.alias] = igb.module
			} else {
				delete(next.installed, igb.alias)
				delete(m.unpacked, igb.alias)
			}
			m.installed = next
		})
		m.notice(n)
	}},
	{"time", func(_ *model, n int) { time.Sleep(pauses[n%len(pauses)]) }},
	{"install fails", func(m *model, n int) {
		why := problems[n%len(problems)]
		m.change(func() {
			if m.onInstall = nil; why != reason.None {
				m.onInstall = func([]string) error { return reason.With(why, errors.New("cannot install")) }
			}
		})
	}},
	{"list fails", func(m *model, n int) {
		why := problems[n%len(problems)]
		m.change(func() {
			if m.onList = nil; why != reason.None {
				m.onList = func(ctx context.Context) error {
					return errors.Join(spend(ctx, time.Second), reason.With(why, errors.New("cannot list")))
				}
			}
		})
	}},
	{"load fails", func(m *model, n int) {
		err := failures[n%len(failures)]
		m.change(func() {
			m.onLoadContext = nil
			if err != nil {
				m.onLoadContext = func(ctx context.Context) error {
					return errors.Join(spend(ctx, time.Duration(n)*100*time.Millisecond), err)
				}
			}
		})
	}},
	{"load hangs", func(m *model, _ int) {
		m.change(func() {
			m.onLoadContext = func(ctx context.Context) error { return spend(ctx, time.Hour) }
		})
	}},
	{"early", func(m *model, n int) { m.change(func() { m.early = n%2 == 0 }) }},
	{"lock", func(m *model, _ int) { m.change(func() { m.locked = true }) }},
	{"firmware", func(m *model, n int) {
		m.change(func() { m.onFind = []func() error{nil, func() error { return errors.New("cannot look") }}[n%2] })
	}},
	{"network", func(m *model, n int) { m.change(func() { m.ways = append(m.ways, fmt.Sprint("way ", n)) }) }},
	{"repositories", func(m *model, n int) { m.change(func() { m.repositories += "." }) }},
	{"mode", func(m *model, n int) {
		if err := m.engine.SetMode(m.t.Context(), []daemon.Mode{daemon.Auto, daemon.Observe}[n%2], "uid:0"); err != nil {
			m.journal.wrong = err
		}
	}},
	{"hold", func(m *model, n int) {
		m.change(func() { m.config.Policy.Holds = [][]plan.Hold{nil, {{Package: "kernel-modules-sriov"}}}[n%2] })
	}},
	{"rule", func(m *model, n int) {
		m.change(func() { m.config.Policy.Rules = [][]plan.Rule{nil, {{Slots: []string{slot(1).String()}}}}[n%2] })
	}},
	{"mistake", func(m *model, n int) {
		m.change(func() { m.badConfig = []error{nil, errors.New("a mistake")}[n%2] })
	}},
	{"request", func(m *model, n int) {
		selectors := [][]string{nil, {slot(1).String()}, {"sriov"}, {"passthrough", slot(2).String()}, {slot(1).String(), "firmware(" + qedFile + ")"}}[n%5]
		ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
		defer cancel()
		if number, err := m.engine.Install(ctx, daemon.Request{Selectors: selectors, Origin: "uid:0", DownloadOnly: n%7 == 0}); err == nil {
			m.last = number
		}
	}},
	{"cancel", func(m *model, n int) {
		number := m.last
		if jobs := m.view().Jobs; n%2 == 0 && len(jobs) > 0 {
			number = jobs[len(jobs)-1].Number
		}
		_ = m.engine.Cancel(m.t.Context(), number, "uid:0") // it may be too late for it
	}},
	{"rescan", func(m *model, _ int) { _ = m.engine.Rescan(m.t.Context()) }},
	{"plan", func(m *model, _ int) {
		ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
		defer cancel()
		_, _ = m.engine.Plan(ctx, nil)
	}},
	{"kill", func(m *model, n int) {
		if n%2 == 0 {
			m.change(func() { m.boot += "." })
		}
		m.restart()
	}},
}

// restart ends the engine, and starts another one when nothing of it is left.
func (m *model) restart() {
	m.stop()
	synctest.Wait()
	m.journal.here = make(map[string]bool)
	m.engine, m.stop = m.run(m.t)
}

// check says what is wrong now.
func (m *model) check() error {
	synctest.Wait()
	switch {
	case m.journal.wrong != nil:
		return m.journal.wrong
	case m.overlap:
		return errors.New("two load steps ran in one slot at once: systemd would have run one")
	}
	return m.engine.Check(m.t.Context())
}

// longest is more than the longest pause between two tries.
const longest = 80 * time.Minute

// settle lets time pass, and more until all devices are at rest, and returns what they
// show.
func (m *model) settle(least time.Duration) (map[hwdetect.Slot]string, error) {
	after(least)
	for range 200 {
		after(time.Minute + time.Second)
		shown, restless := make(map[hwdetect.Slot]string), false
		for _, d := range m.view().Devices {
			restless = restless || d.State == plan.Pending || d.State == plan.Installing || d.State == plan.Loading
			shown[d.Slot] = fmt.Sprintf("%s (%s) %s %v %v", d.State, d.Reason, d.Driver, d.Modules, d.Packages)
		}
		if !restless {
			return shown, nil
		}
		if err := m.check(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("after hours not all devices are at rest: %+v", m.view().Devices)
}

// Whatever happens, in whatever order: nobody waits for nothing, the journal knows who
// is there, an engine that has seen it all shows what one shows that is started now,
// and when all is well again every device has its driver.
func TestAnythingHappens(t *testing.T) {
	var often []int // what has an effect only together with others
	for i, h := range happenings {
		if slices.Contains([]string{"plug", "swap", "time", "request", "cancel", "load fails"}, h.name) {
			often = append(often, i)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		type event struct{ what, n int }
		events := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
			what := rapid.OneOf(rapid.SampledFrom(often), rapid.IntRange(0, len(happenings)-1)).Draw(t, "what")
			return event{what, rapid.IntRange(0, 59).Draw(t, "n")}
		}), 1, 30).Draw(rt, "events")
		installed := rapid.SampledFrom([][]driver{nil, {igb}, {igb, mega}}).Draw(rt, "installed")
		compare := rapid.IntRange(0, 4).Draw(rt, "compare") == 4 // which takes long
		var wrong error
		var told []string
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t, installed)
			defer func() { m.stop() }()
			for _, e := range events {
				told = append(told, fmt.Sprint(happenings[e.what].name, " ", e.n))
				happenings[e.what].do(m, e.n)
				if wrong = m.check(); wrong != nil {
					return
				}
			}
			if compare {
				wrong = m.compare()
			}
			if wrong == nil {
				wrong = m.recover()
			}
		})
		if wrong != nil {
			rt.Fatalf("%v\nafter: %s", wrong, strings.Join(told, ", "))
		}
	})
}

// compare sees that a new engine, that finds the world as it is, shows what this one
// does.
func (m *model) compare() error {
	m.change(func() { m.badConfig, m.lacking = nil, nil })
	if err := m.engine.SetMode(m.t.Context(), daemon.Auto, "uid:0"); err != nil {
		return err
	}
	if _, err := m.settle(0); err != nil { // what has begun under other conditions ends
		return err
	}
	if err := m.engine.Rescan(m.t.Context()); err != nil {
		return err
	}
	lived, err := m.settle(longest)
	if err != nil {
		return err
	}
	m.restart()
	fresh, err := m.settle(longest)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(fresh, lived); diff != "" {
		return fmt.Errorf("a new engine shows something else: %s", diff)
	}
	return nil
}

// recover sees that every device has its driver when all is well again.
func (m *model) recover() error {
	m.change(func() {
		m.onInstall, m.onLoadContext, m.onList, m.onFind = nil, nil, nil, nil
		m.badConfig, m.lacking, m.config.Policy, m.spoilt = nil, nil, plan.Policy{}, false
	})
	if err := m.engine.SetMode(m.t.Context(), daemon.Auto, "uid:0"); err != nil {
		return err
	}
	if _, err := m.settle(0); err != nil {
		return err
	}
	if err := m.engine.Rescan(m.t.Context()); err != nil {
		return err
	}
	if _, err := m.settle(0); err != nil {
		return err
	}
	for _, d := range m.view().Devices {
		if want := map[bool]plan.State{true: plan.Unsupported, false: plan.Bound}[d.Modalias == edu]; d.State != want {
			return fmt.Errorf("all is well, and %s is %s (%s): %s", d.Slot, d.State, d.Reason, d.Message)
		}
	}
	return nil
}
