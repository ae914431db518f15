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
	"driverd/daemon/config"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/plan"
	"driverd/reason"
)

const (
	qedFile  = "qed/init.bin"
	qed      = "qed-firmware-20260221-1.noarch"
	e100File = "e100/d102e_ucode.bin"
	e100     = "linux-firmware-20260221-1.noarch"
	whence   = "linux-firmware-whence-20260221-1.noarch"
)

// Lacking, Find and unpackFirmware are the world's firmware.
func (w *world) Lacking(files []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !slices.Contains(w.lacking, f) })
}

// VendorPackages finds what the world has of a vendor's driver for a kernel.
func (w *world) VendorPackages(ctx context.Context, release string, v dnfbridge.Vendor, fresh bool) (dnfbridge.VendorListing, error) {
	if w.onVendor != nil {
		if err := w.onVendor(ctx, v); err != nil {
			return dnfbridge.VendorListing{}, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vendorsAsked = append(w.vendorsAsked, release)
	if w.badVendor != nil {
		return dnfbridge.VendorListing{}, w.badVendor
	}
	l := dnfbridge.VendorListing{Refused: []string{"kmod-other-1-1.x86_64 is made for kernel 1"}}
	for _, p := range w.vendor[release] {
		l.Packages = append(l.Packages, p)
		l.Allowed = map[string][]string{p.NEVRA: {p.RepoID}}
	}
	return l, nil
}

func (w *world) Find(_ context.Context, what []string, fresh bool) (found []dnfbridge.Package, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finds = append(w.finds, what)
	if w.onFind != nil {
		return nil, w.onFind()
	}
	for _, p := range w.firmware {
		if slices.Contains(what, p.Name) || w.holds[p.Name] != "" && slices.Contains(what, "/usr/lib/firmware/"+w.holds[p.Name]+".xz") {
			found = append(found, p)
		}
	}
	return found, nil
}

func (w *world) unpackFirmware(nevra string) {
	for _, p := range w.firmware {
		if p.NEVRA == nevra {
			w.lacking = slices.DeleteFunc(w.lacking, func(f string) bool { return f == w.holds[p.Name] })
		}
	}
}

// newFirmwareWorld is a guest that lacks all firmware, of which igb names one file.
func newFirmwareWorld() *world {
	w := newWorld()
	w.lacking = []string{qedFile, e100File}
	w.installed.shipped[igb.alias] = hwdetect.Module{Name: "igb", Group: "sriov", Firmware: []string{qedFile, e100File}}
	w.firmware = []dnfbridge.Package{
		{NEVRA: qed, Name: "qed-firmware", RepoID: "lab", DownloadSize: 9_000_000},
		{NEVRA: e100, Name: "linux-firmware", RepoID: "lab", DownloadSize: 300_000_000},
		{NEVRA: whence, Name: firmware.Whence, RepoID: "lab", DownloadSize: 100_000},
	}
	w.holds = map[string]string{"qed-firmware": qedFile, "linux-firmware": e100File}
	return w
}

// kernelAsks lets the driver of every device fail as long as the guest lacks file.
func (w *world) kernelAsks(file string) {
	w.onLoad = func(s hwdetect.Slot) error {
		if slices.Contains(w.lacking, file) {
			return &firmware.MissingError{Files: []string{file}, Err: errors.New("its driver lacks the firmware /lib/firmware/" + file)}
		}
		d := w.devices[s]
		d.Driver = w.installed.installed[d.Modalias]
		w.devices[s] = d
		return nil
	}
}

// What the driver names comes with it, and nothing else of it: e100's file is in
// a package that is not known to hold it.
func TestFirmwareComesWithItsDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		p, err := engine.Plan(t.Context(), nil)
		if err != nil || len(p.Packages) != 2 || p.Packages[1].NEVRA != qed {
			t.Errorf("the plan is %+v, %v", p, err)
		}
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if diff := cmp.Diff([][]string{{igb.nevra, qed}}, w.installs); diff != "" {
			t.Error(diff)
		}
		if slices.Contains(w.allowed, e100) || !slices.Contains(w.allowed, whence) {
			t.Errorf("allowed are %q", w.allowed)
		}
		expectJob(t, w.job(1), daemon.JobDone, daemon.PhaseLoad, igb.nevra+", "+qed+" installed; 0000:01:00.0 is bound to igb")
		if diff := cmp.Diff([][]string{{"qed-firmware", firmware.Whence}, {"qed-firmware", firmware.Whence}}, w.finds); diff != "" {
			t.Error(diff)
		}
	})
}

// A driver is not loaded, even early, before its firmware is on the disk.
func TestEarlyLoadWaitsForFirmware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.early = true
		w.plug(1, igb.alias)
		w.run(t)
		after(8 * time.Second) // the driver is unpacked
		expect(t, w.device(1), plan.Installing, "")
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
	})
}

func TestDriverComesWithoutItsFirmware(t *testing.T) {
	refused := func(packages []string) error {
		if slices.Contains(packages, qed) {
			return reason.With(reason.TransactionFailed, errors.New("nothing provides x"))
		}
		return nil
	}
	for name, test := range map[string]struct {
		change   func(*world)
		installs [][]string
		lacks    string
	}{
		"there already":        {func(w *world) { w.lacking = nil }, [][]string{{igb.nevra}}, ""},
		"no such package":      {func(w *world) { w.firmware = nil }, [][]string{{igb.nevra}}, "no package that could be installed has /lib/firmware/qed/init.bin"},
		"installed, and lacks": {func(w *world) { w.firmware[0].Installed = true }, [][]string{{igb.nevra}}, "no package that could be installed"},
		"held": {func(w *world) {
			w.config.Policy.Holds = []plan.Hold{{Package: "qed-*", Origin: plan.Origin{File: "x", Line: 1}}}
		}, [][]string{{igb.nevra}}, "no package that could be installed"},
		"too large":           {func(w *world) { w.firmware[0].DownloadSize = 100_000_000 }, [][]string{{igb.nevra}}, ""},
		"cannot look":         {func(w *world) { w.onFind = func() error { return errors.New("cannot look") } }, [][]string{{igb.nevra}}, "cannot look"},
		"cannot be installed": {func(w *world) { w.onInstall = refused }, [][]string{{igb.nevra, qed}, {igb.nevra}}, "nothing provides x"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFirmwareWorld()
				w.plug(1, igb.alias)
				test.change(w)
				w.run(t)
				after(time.Minute)
				expect(t, w.device(1), plan.Bound, "")
				if diff := cmp.Diff(test.installs, w.installs); diff != "" {
					t.Error(diff)
				}
				want := igb.nevra + " installed; 0000:01:00.0 is bound to igb"
				if j := w.job(1); !strings.HasPrefix(j.Message, want) || !strings.Contains(j.Message, test.lacks) ||
					(test.lacks == "") != (j.Message == want) || !slices.Equal(j.Packages, []string{igb.nevra}) {
					t.Errorf("the job of %q says %q", j.Packages, j.Message)
				}
			})
		})
	}
}

// What the kernel has asked for is brought, however large, for all devices at
// once, and the driver tried again.
func TestKernelsRequestIsMet(t *testing.T) {
	for name, test := range map[string]struct {
		file  string
		nevra string
		finds int
	}{
		"a package that is known":     {qedFile, qed, 1},
		"a package found by its file": {e100File, e100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFirmwareWorld()
				w.installed.installed[igb.alias] = "igb"
				w.inKernel = []string{"igb"}
				w.firmware[0].DownloadSize = 100_000_000
				w.kernelAsks(test.file)
				for n := range uint8(20) {
					w.plug(n, igb.alias)
				}
				w.run(t)
				after(5 * time.Second)
				expect(t, w.device(7), plan.Installing, "")
				after(time.Minute)
				for n := range uint8(20) {
					expect(t, w.device(n), plan.Bound, "")
				}
				if diff := cmp.Diff([][]string{{test.nevra}}, w.installs); diff != "" {
					t.Error(diff)
				}
				if len(w.finds) != test.finds {
					t.Errorf("looked for %q", w.finds)
				}
				if len(w.allowed) == 0 || !slices.Contains(w.allowed, whence) {
					t.Errorf("allowed are %q", w.allowed)
				}
			})
		})
	}
}

// What helped a card, and has been removed since, is brought again for the next one.
func TestFirmwareThatWasRemovedIsBroughtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.installed.installed[igb.alias] = "igb"
		w.inKernel = []string{"igb"}
		w.kernelAsks(qedFile)
		w.plug(1, igb.alias)
		w.run(t)
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		w.change(func() {
			w.lacking = append(w.lacking, qedFile)
			delete(w.has, qed)
		})
		w.unplug(1)
		after(time.Minute)
		w.plug(1, igb.alias)
		after(2 * time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if diff := cmp.Diff([][]string{{qed}, {qed}}, w.installs); diff != "" {
			t.Error(diff)
		}
	})
}

// A transaction that fails for what may pass by itself is repeated.
func TestKernelsRequestIsTriedAgain(t *testing.T) {
	for _, why := range []reason.Reason{reason.NoSpace, reason.TransactionFailed} {
		t.Run(string(why), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFirmwareWorld()
				w.installed.installed[igb.alias] = "igb"
				w.kernelAsks(qedFile)
				w.onInstall = func([]string) error { return reason.With(why, errors.New("no room")) }
				w.plug(1, igb.alias)
				w.run(t)
				after(time.Minute)
				expect(t, w.device(1), plan.Failed, reason.FirmwareMissing)
				w.change(func() { w.onInstall = nil })
				after(5 * time.Minute)
				expect(t, w.device(1), plan.Bound, "")
			})
		})
	}
}

// A package that does not help is not installed again, and one that cannot be had
// is not looked for again, until somebody asks.
func TestKernelsRequestIsMetOnce(t *testing.T) {
	for name, change := range map[string]func(*world){
		"it does not help": func(w *world) { w.holds["qed-firmware"] = "qed/other.bin" },
		"it cannot be had": func(w *world) { w.firmware = nil },
		"it cannot be installed": func(w *world) {
			w.onInstall = func([]string) error { return reason.With(reason.UntrustedPackage, errors.New("no key")) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newFirmwareWorld()
				w.installed.installed[igb.alias] = "igb"
				w.inKernel = []string{"igb"}
				w.kernelAsks(qedFile)
				change(w)
				w.plug(1, igb.alias)
				w.plug(2, igb.alias)
				engine, _ := w.run(t)
				after(time.Hour)
				for n := range uint8(2) {
					expect(t, w.device(n+1), plan.Failed, reason.FirmwareMissing)
				}
				finds, installs := len(w.finds), len(w.installs)
				w.plug(3, igb.alias)
				engine.Kick()
				after(time.Hour)
				expect(t, w.device(3), plan.Failed, reason.FirmwareMissing)
				if finds == 0 || len(w.finds) != finds || len(w.installs) != installs || installs > 1 {
					t.Errorf("looked for %q, installed %q", w.finds, w.installs)
				}
				w.change(func() { w.lacking, w.onInstall = nil, nil })
				if err := engine.Rescan(t.Context()); err != nil {
					t.Fatal(err)
				}
				after(time.Minute)
				for n := range uint8(3) {
					expect(t, w.device(n+1), plan.Bound, "")
				}
			})
		})
	}
}

// What could not be had is looked for once more when the repositories are others.
func TestKernelsRequestIsMetByAnotherRepository(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.installed.installed[igb.alias] = "igb"
		w.inKernel = []string{"igb"}
		w.kernelAsks(qedFile)
		all := w.firmware
		w.firmware = nil
		w.plug(1, igb.alias)
		w.plug(2, igb.alias)
		engine, _ := w.run(t)
		after(time.Minute)
		finds := len(w.finds)
		for changes := range 3 {
			w.change(func() { w.repositories += "other.repo" })
			engine.Kick()
			after(time.Hour)
			expect(t, w.device(1), plan.Failed, reason.FirmwareMissing)
			expect(t, w.device(2), plan.Failed, reason.FirmwareMissing)
			if got := len(w.finds); got == finds || got > finds+4 {
				t.Errorf("after change %d: looked for %q", changes, w.finds[finds:])
			}
			finds = len(w.finds)
		}
		w.change(func() { w.repositories, w.firmware = "lab.repo", all })
		engine.Kick()
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		expect(t, w.device(2), plan.Bound, "")
	})
}

func TestNothingIsBroughtWhileObserving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.installed.installed[igb.alias] = "igb"
		w.config = config.Config{Observe: true}
		w.kernelAsks(qedFile)
		w.plug(1, igb.alias)
		w.run(t)
		after(time.Hour)
		expect(t, w.device(1), plan.Blocked, reason.ObserveOnly)
		if len(w.finds)+len(w.installs)+len(w.loads) != 0 {
			t.Errorf("looked for %q, installed %q, loaded for %v", w.finds, w.installs, w.loads)
		}
	})
}

// A repair can be cancelled, and the device says again what it lacks.
func TestCancelledRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.installed.installed[igb.alias] = "igb"
		w.kernelAsks(qedFile)
		w.plug(1, igb.alias)
		engine, _ := w.run(t)
		after(2 * time.Second)
		expect(t, w.device(1), plan.Installing, "")
		if err := engine.Cancel(t.Context(), 1, "uid:0"); err != nil {
			t.Fatal(err)
		}
		after(time.Hour)
		expect(t, w.device(1), plan.Failed, reason.FirmwareMissing)
		if got := w.brought(); len(got) != 0 {
			t.Errorf("brought %q", got)
		}
	})
}
