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
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

func TestInstallOfEachKindOfSelector(t *testing.T) {
	for _, selector := range []string{
		"0000:01:00.0", igb.alias, "8086:10c9", "sriov", "kmod(igb.ko)",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.config.Observe = true
			w.plug(1, igb.alias)
			w.change(func() { // sysfs says so too
				d := w.devices[slot(1)]
				d.Vendor, d.Product = 0x8086, 0x10c9
				w.devices[slot(1)] = d
			})
			w.plug(2, mega.alias)
			engine, _ := w.run(t)
			after(time.Second)
			expect(t, w.device(1), plan.Blocked, reason.ObserveOnly)
			number := install(t, engine, selector)
			after(time.Second)
			expect(t, w.device(1), plan.Installing, "")
			after(time.Minute)
			j := w.job(number)
			expectJob(t, j, daemon.JobDone, daemon.PhaseLoad, igb.nevra+" installed; 0000:01:00.0 is bound to igb")
			if !slices.Equal(j.Devices, []hwdetect.Slot{slot(1)}) {
				t.Errorf("%s: for %v", selector, j.Devices)
			}
			expect(t, w.device(2), plan.Blocked, reason.ObserveOnly) // nobody asked for it
			if diff := cmp.Diff([][]string{{igb.nevra}}, w.installs); diff != "" {
				t.Errorf("%s: %s", selector, diff)
			}
		})
	}
}

func TestInstallOfAllThatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.mode = daemon.Observe
		w.installed.installed[mega.alias] = mega.module
		w.plug(1, igb.alias)
		w.plug(2, mega.alias)
		w.plug(3, edu)
		engine, _ := w.run(t)
		after(time.Second)
		number := install(t, engine)
		after(time.Minute)
		expectJob(t, w.job(number), daemon.JobDone, daemon.PhaseLoad, "")
		expect(t, w.device(1), plan.Bound, "")
		expect(t, w.device(2), plan.Bound, "")
		expect(t, w.device(3), plan.Unsupported, reason.NoDriver)
		expectJob(t, w.job(install(t, engine)), daemon.JobDone, daemon.PhaseWaiting, "nothing is missing")
	})
}

func TestInstallWithoutADevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, _ := w.run(t)
		number := install(t, engine, "sriov", "passthrough")
		after(time.Minute)
		expectJob(t, w.job(number), daemon.JobDone, daemon.PhaseLoad, mega.nevra+", "+igb.nevra+" installed")
		again := install(t, engine, "kmod(igb.ko)")
		after(time.Minute)
		expectJob(t, w.job(again), daemon.JobDone, daemon.PhaseLoad, igb.nevra+" is installed already")
	})
}

func TestInstallOfWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Minute)
		expectJob(t, w.job(install(t, engine, "0000:01:00.0")), daemon.JobDone, daemon.PhaseWaiting, "0000:01:00.0 is bound to igb already")
		expectJob(t, w.job(install(t, engine, "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00")), daemon.JobDone, daemon.PhaseWaiting, "already")
		if len(w.installs) != 1 {
			t.Errorf("%d transactions", len(w.installs))
		}
		entries, err := engine.History(t.Context())
		if err != nil || len(entries) != 1 {
			t.Errorf("what was not done is in the history: %v, %v", entries, err)
		}
	})
}

// Two who ask for the same get the same job, and so does one who asks for what
// the engine does by itself.
func TestSameRequestSameJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, engine := installing(t)
		for _, selector := range []string{"0000:01:00.0", "sriov", "kmod(igb.ko)"} {
			if number := install(t, engine, selector); number != 1 {
				t.Errorf("%s is job %d", selector, number)
			}
		}
		both := install(t, engine, "sriov", "passthrough")
		if again := install(t, engine, "passthrough"); both == 1 || again != both {
			t.Errorf("jobs %d and %d", both, again)
		}
		after(10500 * time.Millisecond) // the first is at work on the second's packages
		if again := install(t, engine, "passthrough"); again != both {
			t.Errorf("job %d, want %d", again, both)
		}
		after(time.Minute)
		expectJob(t, w.job(both), daemon.JobDone, daemon.PhaseLoad, "")
	})
}

func TestDownloadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.mode = daemon.Observe
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Second)
		q := daemon.Request{Selectors: []string{"0000:01:00.0"}, DownloadOnly: true, Origin: "uid:0"}
		number, err := engine.Install(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		whole := install(t, engine, "0000:01:00.0")
		if again, err := engine.Install(t.Context(), q); err != nil || again != number || whole == number {
			t.Errorf("jobs %d and %d, the whole %d, %v", number, again, whole, err)
		}
		after(6 * time.Second)
		expectJob(t, w.job(number), daemon.JobDone, daemon.PhaseLoad, igb.nevra+" downloaded")
		if got := w.brought(); len(got) > 0 {
			t.Errorf("installed %v", got)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		entries, _ := engine.History(t.Context())
		if len(entries) != 2 || entries[1].Action != "download" || entries[0].Action != "install" {
			t.Errorf("%+v", entries)
		}
	})
}

// A package that is there and a driver that is not loaded: no transaction.
func TestInstallThatOnlyLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.mode = daemon.Observe
		w.installed.installed[igb.alias] = "igb"
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Second)
		expect(t, w.device(1), plan.Blocked, reason.ObserveOnly)
		number := install(t, engine, "0000:01:00.0")
		after(time.Second)
		expectJob(t, w.job(number), daemon.JobDone, daemon.PhaseLoad, "0000:01:00.0 is bound to igb")
		entries, _ := engine.History(t.Context())
		if len(w.installs) != 0 || len(entries) != 1 || entries[0].Action != "load" || entries[0].Origin != "uid:0" || entries[0].Job != number {
			t.Errorf("%d transactions, history %+v", len(w.installs), entries)
		}
	})
}

func TestInstallIsRefused(t *testing.T) {
	reserved := hwdetect.Device{Slot: slot(4), Modalias: igb.alias, DriverOverride: "vfio-pci"}
	many := make([]string, 10_000)
	for i := range many {
		many[i] = "sriov"
	}
	for _, test := range []struct {
		selectors []string
		want      error
		says      string
	}{
		{[]string{"0000:77:00.0"}, daemon.ErrNoSuchDevice, "no device in slot 0000:77:00.0"},
		{[]string{"0000:03:00.0"}, daemon.ErrNoCandidate, "no package of kernel"},
		{[]string{"1234:11e8"}, daemon.ErrNoCandidate, "no package of kernel"},
		{[]string{"gpu"}, daemon.ErrNoCandidate, "is named by gpu"},
		{[]string{"kmod(none.ko)"}, daemon.ErrNoCandidate, "is named by kmod(none.ko)"},
		{[]string{"0000:04:00.0"}, daemon.ErrRefused, "driver_override"},
		{[]string{"passthrough"}, daemon.ErrRefused, "/etc/driverd/driverd.toml:3"},
		{[]string{"0000:02:00.0"}, daemon.ErrRefused, "/etc/driverd/driverd.toml:3"},
		{[]string{"sriov", "gpu"}, daemon.ErrNoCandidate, ""},
		{[]string{""}, daemon.ErrNotUnderstood, "kmod(NAME.ko)"},
		{[]string{"/sys/bus/pci/devices/0000:01:00.0"}, daemon.ErrNotUnderstood, "0000:01:00.0"},
		{[]string{strings.Repeat("x", 1025)}, daemon.ErrNotUnderstood, "longer than 1024"},
		{many, daemon.ErrNotUnderstood, "10000 selectors are too many"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.config.Observe = true
			w.config.Policy.Holds = []plan.Hold{{Package: "kernel-modules-passthrough", Origin: plan.Origin{File: "/etc/driverd/driverd.toml", Line: 3}}}
			w.plug(1, igb.alias)
			w.plug(2, mega.alias)
			w.plug(3, edu)
			w.devices[slot(4)] = reserved
			engine, _ := w.run(t)
			after(time.Second)
			_, err := engine.Install(t.Context(), daemon.Request{Selectors: test.selectors, Origin: "uid:0"})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Install %.80q: %v, want %v, %q", test.selectors, err, test.want, test.says)
			}
			if _, planned := engine.Plan(t.Context(), test.selectors); !errors.Is(planned, test.want) || planned.Error() != err.Error() {
				t.Errorf("Plan %.80q: %v, and Install %v", test.selectors, planned, err)
			}
			after(time.Minute)
			if len(w.installs) != 0 || len(w.view().Jobs) != 0 {
				t.Errorf("%d transactions, %d jobs", len(w.installs), len(w.view().Jobs))
			}
		})
	}
}

func TestInstallWhileTheConfigurationIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.badConfig = errors.New("driverd.toml:1: no")
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(time.Second)
		_, err := engine.Install(t.Context(), daemon.Request{})
		if !errors.Is(err, daemon.ErrRefused) || !strings.Contains(err.Error(), "driverd.toml:1") || w.view().Status != daemon.Paused {
			t.Errorf("%v, %s", err, w.view().Status)
		}
	})
}

// A request waits for the catalog, and for what was in its way, but not for ever.
func TestInstallNeedsTheCatalog(t *testing.T) {
	q := daemon.Request{Selectors: []string{"0000:01:00.0"}, Origin: "uid:0"}
	slow := func(d time.Duration) func(context.Context) error {
		return func(ctx context.Context) error { return spend(ctx, d) }
	}
	t.Run("which comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.onList = slow(15 * time.Second)
			w.plug(1, igb.alias)
			engine, _ := w.run(t)
			number, err := engine.Install(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			after(time.Minute)
			expectJob(t, w.job(number), daemon.JobDone, daemon.PhaseLoad, "")
		})
	})
	t.Run("which takes too long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.onList = slow(time.Minute)
			w.plug(1, igb.alias)
			engine, _ := w.run(t)
			began := time.Now()
			if _, err := engine.Install(t.Context(), q); !errors.Is(err, daemon.ErrBusy) || time.Since(began) > 21*time.Second {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		})
	})
	t.Run("which cannot be had", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.onList = func(context.Context) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
			w.plug(1, igb.alias)
			engine, _ := w.run(t)
			for _, selectors := range [][]string{{"0000:01:00.0"}, {"sriov"}, nil} {
				_, err := engine.Install(t.Context(), daemon.Request{Selectors: selectors})
				if !errors.Is(err, daemon.ErrBackendFailed) || !strings.Contains(err.Error(), "no route") {
					t.Errorf("%q: %v", selectors, err)
				}
			}
			w.change(func() { w.onList = nil }) // what was in the way is gone: no need to wait for the next try
			number, err := engine.Install(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			after(time.Minute)
			expectJob(t, w.job(number), daemon.JobDone, daemon.PhaseLoad, "")
		})
	})
	t.Run("and the caller has gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.onList = slow(time.Minute)
			w.plug(1, igb.alias)
			engine, _ := w.run(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := engine.Install(ctx, q); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			after(2 * time.Minute) // what is under way ends
		})
	})
}

func TestPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.mode = daemon.Observe
		w.plug(1, igb.alias)
		w.plug(2, edu)
		engine, _ := w.run(t)
		after(time.Second)
		p, err := engine.Plan(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := daemon.Plan{
			Packages: []plan.Holder{{
				Package: plan.Package{NEVRA: igb.nevra, Repo: "lab", DownloadSize: 100, InstallSize: 1000}, Group: "sriov",
			}},
			DownloadSize: 100, InstallSize: 1000, Devices: []hwdetect.Slot{slot(1)},
		}
		if diff := cmp.Diff(want, p); diff != "" {
			t.Error(diff)
		}
		w.change(func() { w.has[igb.nevra] = true }) // what the catalog cannot know
		p, err = engine.Plan(t.Context(), []string{"sriov"})
		if err != nil || p.DownloadSize != 0 || len(p.Packages) != 1 || !p.Packages[0].Installed {
			t.Errorf("%+v, %v", p, err)
		}
		for why, kind := range map[reason.Reason]error{
			reason.TransactionRefused: daemon.ErrRefused,
			reason.NoPackage:          daemon.ErrNoCandidate,
			reason.BackendMissing:     daemon.ErrBackendFailed,
		} {
			w.change(func() { w.onResolve = reason.With(why, errors.New("cannot plan: as told")) })
			if _, err := engine.Plan(t.Context(), []string{"sriov"}); !errors.Is(err, kind) || !strings.Contains(err.Error(), "as told") {
				t.Errorf("%s: %v", why, err)
			}
		}
		if len(w.installs)+len(w.view().Jobs) > 0 {
			t.Error("a plan was carried out")
		}
	})
}
