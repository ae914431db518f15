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
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/plan"
	"driverd/reason"
)

// job returns what is published about a job; number 0 if nothing is.
func (w *world) job(number uint64) daemon.Job {
	for _, j := range w.view().Jobs {
		if j.Number == number {
			return j
		}
	}
	return daemon.Job{}
}

// installing is a world in which a second ago a card came, whose driver is now
// being downloaded by job 1.
func installing(t *testing.T) (*world, *daemon.Engine) {
	t.Helper()
	w := newWorld()
	w.plug(1, igb.alias)
	engine, _ := w.run(t)
	after(time.Second)
	return w, engine
}

// install asks for what the selectors name, as root.
func install(t *testing.T, engine *daemon.Engine, selectors ...string) uint64 {
	t.Helper()
	number, err := engine.Install(t.Context(), daemon.Request{Selectors: selectors, Origin: "uid:0"})
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func expectJob(t *testing.T, got daemon.Job, state daemon.JobState, phase daemon.Phase, message string) {
	t.Helper()
	if got.State != state || got.Phase != phase || !strings.Contains(got.Message, message) {
		t.Fatalf("job %d is %s in %s (%s: %s), want %s in %s (%s)", got.Number, got.State, got.Phase, got.Reason, got.Message, state, phase, message)
	}
}

func TestAutomaticTransactionIsAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := installing(t)
		j := w.job(1)
		expectJob(t, j, daemon.JobRunning, daemon.PhaseDownload, "")
		if d := w.device(1); d.Job != 1 || w.view().Status != daemon.Busy {
			t.Errorf("the device has job %d; the service is %s", d.Job, w.view().Status)
		}
		if j.BytesTotal != 100 || !slices.Equal(j.Packages, []string{igb.nevra}) || !slices.Equal(j.Devices, []hwdetect.Slot{slot(1)}) {
			t.Errorf("%+v", j)
		}
		after(5 * time.Second)
		expectJob(t, w.job(1), daemon.JobRunning, daemon.PhaseInstall, "")
		after(5 * time.Second)
		j = w.job(1)
		expectJob(t, j, daemon.JobDone, daemon.PhaseLoad, igb.nevra+" installed; 0000:01:00.0 is bound to igb")
		if d := w.device(1); d.Job != 0 || j.Progress != 1 || j.Reason != reason.None || w.view().Status != daemon.Ready {
			t.Errorf("%+v, device %+v", j, d)
		}
	})
}

// A job that has ended can be read for ten minutes, and no longer.
func TestEndedJobVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(11 * time.Second)
		after(9 * time.Minute)
		expectJob(t, w.job(1), daemon.JobDone, daemon.PhaseLoad, "")
		after(2 * time.Minute)
		if j := w.job(1); j.Number != 0 {
			t.Errorf("%+v is still there", j)
		}
		if err := engine.Cancel(t.Context(), 1, "uid:0"); !errors.Is(err, daemon.ErrNoSuchJob) {
			t.Errorf("cancelled: %v", err)
		}
		for range 150 {
			install(t, engine, "0000:01:00.0")
		}
		if n := len(w.view().Jobs); n != 100 {
			t.Errorf("%d jobs are shown", n)
		}
	})
}

func TestProgressNeverFalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		w.onInstall = func([]string) error { return nil }
		w.steps = []dnfbridge.Progress{
			{Phase: dnfbridge.PhaseDownload, Fraction: 0.4}, {Phase: dnfbridge.PhaseResolve, Fraction: 0}, {Phase: dnfbridge.PhaseInstall, Fraction: 0.3},
		}
		w.run(t)
		after(time.Second)
		if j := w.job(1); j.Progress < 0.3 || j.Phase != daemon.PhaseInstall {
			t.Errorf("%+v", j)
		}
	})
}

func TestCancelledBeforeItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, engine := installing(t)
		if err := engine.Cancel(t.Context(), 1, "uid:1000"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expectJob(t, w.job(1), daemon.JobCancelled, daemon.PhaseDownload, "cancelled by uid:1000")
		expect(t, w.device(1), plan.Blocked, reason.Policy)
		if m := w.device(1).Message; m != "cancelled by uid:1000; driverd install 0000:01:00.0 or driverd rescan tries again" {
			t.Error(m)
		}
		if err := engine.Cancel(t.Context(), 1, "uid:1000"); !errors.Is(err, daemon.ErrRefused) {
			t.Errorf("cancelled twice: %v", err)
		}
		after(2 * time.Hour)
		expect(t, w.device(1), plan.Blocked, reason.Policy)
		if len(w.brought()) != 0 || len(w.installs) != 1 {
			t.Fatalf("installed %v in %d transactions", w.brought(), len(w.installs))
		}
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
	})
}

func TestCancelledDeviceIsInstalledOnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, engine := installing(t)
		if err := engine.Cancel(t.Context(), 1, "uid:0"); err != nil {
			t.Fatal(err)
		}
		number := install(t, engine, "0000:01:00.0")
		after(time.Minute)
		expectJob(t, w.job(number), daemon.JobDone, daemon.PhaseLoad, "bound to igb")
	})
}

// What is being brought for devices that have their drivers is cancelled for good as well, for
// those too that came to need it since, and whatever becomes of their drivers.
func TestCancelledForDevicesWithTheirDrivers(t *testing.T) {
	const pkg = "kernel-modules-1-1.x86_64"
	for name, test := range map[string]struct {
		prepare func(*world)
		message string
	}{
		"packages for children": {func(w *world) {
			w.claims[rdma] = hwdetect.ChildModules{Shipped: []hwdetect.Module{{Name: "mlx5_ib"}}}
			w.packages = append(w.packages, dnfbridge.Package{NEVRA: pkg, RepoID: "lab", Provides: []string{
				"kernel-modules-uname-r = " + release, "kmod(mlx5_ib.ko)", "modalias(pci:v1*)",
			}})
			w.config.Policy.InstallForChildren = true
		}, "to install what its children need was cancelled by uid:1000; driverd rescan tries again"},
		"firmware": {func(w *world) {
			f := newFirmwareWorld()
			w.lacking, w.firmware, w.holds, w.installed = f.lacking, f.firmware, f.holds, f.installed
			w.onLoad = func(hwdetect.Slot) error {
				return &firmware.MissingError{Files: []string{qedFile}, Err: errors.New("xhci_hcd asked for it in vain")}
			}
		}, "; to bring it was cancelled by uid:1000; driverd rescan tries again"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := bound(hwdetect.Child{Path: "mlx5_core.rdma.0", Modalias: rdma})
				test.prepare(w)
				engine, _ := w.run(t)
				after(time.Second)
				w.plug(2, igb.alias)
				w.bind(2, "xhci_hcd")
				w.change(func() { w.parts[slot(2)] = w.parts[slot(1)] })
				engine.Kick()
				after(2 * time.Second)
				if err := engine.Cancel(t.Context(), 1, "uid:1000"); err != nil {
					t.Fatal(err)
				}
				after(time.Hour)
				for _, driver := range []string{"", "xhci_hcd"} { // an administrator binds it anew
					w.bind(2, driver)
					w.change(func() {
						parts := w.parts[slot(2)]
						parts.Binding++
						w.parts[slot(2)] = parts
					})
					engine.Changed(slot(2))
					after(time.Minute)
				}
				for n := range uint8(2) {
					expect(t, w.device(n+1), plan.Bound, "")
					if m := w.device(n + 1).Message; !strings.HasSuffix(m, test.message) {
						t.Errorf("%s says %q", slot(n+1), m)
					}
				}
				if len(w.installs) != 1 || len(w.brought()) != 0 {
					t.Errorf("installs %v", w.installs)
				}
				if err := engine.Check(t.Context()); err != nil {
					t.Error(err)
				}
				if err := engine.Rescan(t.Context()); err != nil {
					t.Fatal(err)
				}
				after(time.Minute)
				if len(w.installs) != 2 || len(w.brought()) != 1 {
					t.Errorf("after a rescan: installs %v", w.installs)
				}
			})
		})
	}
}

func TestCancelComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(6 * time.Second)
		expectJob(t, w.job(1), daemon.JobRunning, daemon.PhaseInstall, "")
		if err := engine.Cancel(t.Context(), 1, "uid:0"); !errors.Is(err, daemon.ErrBusy) {
			t.Errorf("%v", err)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
	})
}

// The last moment for a cancel, and the first one that is too late, are one.
func TestCancelAtTheMomentOfCommit(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.plug(1, igb.alias)
			engine, _ := w.run(t)
			time.Sleep(5 * time.Second) // as the download ends
			err := engine.Cancel(t.Context(), 1, "uid:0")
			after(time.Minute)
			switch {
			case err == nil:
				expectJob(t, w.job(1), daemon.JobCancelled, w.job(1).Phase, "")
			case errors.Is(err, daemon.ErrBusy):
				expectJob(t, w.job(1), daemon.JobDone, daemon.PhaseLoad, "")
			default:
				t.Error(err)
			}
			if installed := len(w.brought()) > 0; installed != (err != nil) {
				t.Errorf("cancelled with %v, installed %t", err, installed)
			}
		})
	}
}

func TestCancelOfAJobThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, engine := installing(t)
		number := install(t, engine, "kmod(megaraid_sas.ko)")
		synctest.Wait()
		expectJob(t, w.job(number), daemon.JobRunning, daemon.PhaseWaiting, "")
		if err := engine.Cancel(t.Context(), number, "uid:0"); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expectJob(t, w.job(number), daemon.JobCancelled, daemon.PhaseWaiting, "")
		expect(t, w.device(1), plan.Bound, "")
		if diff := cmp.Diff([][]string{{igb.nevra}}, w.installs); diff != "" {
			t.Error(diff)
		}
	})
}

// What the device says is what the job says, if none of its devices is well.
func TestJobFailsWithItsDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, igb.alias)
		w.onLoad = func(hwdetect.Slot) error {
			return reason.With(reason.Blacklisted, errors.New("cannot load igb: blacklisted"))
		}
		w.run(t)
		after(time.Minute)
		j := w.job(1)
		expectJob(t, j, daemon.JobFailed, daemon.PhaseLoad, "0000:01:00.0 is blocked: cannot load igb")
		if j.Reason != reason.Blacklisted {
			t.Errorf("the reason is %q", j.Reason)
		}
	})
}

func TestJobOfADeviceThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, engine := installing(t)
		w.unplug(1)
		engine.Kick()
		after(time.Minute)
		expectJob(t, w.job(1), daemon.JobDone, daemon.PhaseLoad, igb.nevra+" installed")
	})
}
