// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

const (
	nextRelease = "7.2.13+deb14-amd64"
	nextSRIOV   = "kernel-modules-sriov-2-1.x86_64"
)

// newerKernel is installed beside the running one, without the driver of igb,
// which the world's one device has.
func newerKernel() *world {
	w := newWorld()
	w.installed.installed[igb.alias] = igb.module
	w.devices[slot(1)] = hwdetect.Device{Slot: slot(1), Modalias: igb.alias, Driver: "igb"}
	w.next = daemon.Next{Release: nextRelease, Kernel: &kernel{}}
	w.later = []dnfbridge.Package{{
		NEVRA: nextSRIOV, RepoID: "lab",
		Provides: []string{"kernel-modules-sriov-uname-r = " + nextRelease, "modalias(" + igb.alias + ")"},
	}}
	w.onInstall = func([]string) error {
		w.change(func() { w.next.Kernel = &kernel{installed: map[string]string{igb.alias: igb.module}} })
		return nil
	}
	return w
}

// transactions are those that were begun.
func (w *world) transactions() [][]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.installs)
}

func TestNextKernelGetsWhatDevicesNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newerKernel()
		engine, _ := w.run(t)
		after(time.Minute)
		if got := w.transactions(); len(got) != 1 || !slices.Equal(got[0], []string{nextSRIOV}) || !slices.Equal(w.allowed, []string{nextSRIOV}) {
			t.Fatalf("installed %v, allowed %v", got, w.allowed)
		}
		if len(w.loads) != 0 || w.device(1).State != "bound" {
			t.Errorf("loads %v; the device is %+v", w.loads, w.device(1))
		}
		entries, err := engine.History(t.Context())
		if err != nil || len(entries) != 1 || entries[0].Message != nextSRIOV+" installed for the next boot" {
			t.Errorf("history: %+v, %v", entries, err)
		}
		var listings int
		w.change(func() { listings = w.listings })
		after(10 * time.Minute)
		if got := w.transactions(); len(got) != 1 || w.listings != listings {
			t.Errorf("and again: installed %v, listed %d times", got[1:], w.listings-listings)
		}
	})
}

// The world sees what the next kernel lacks, and that it is brought.
func TestNextKernelIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newerKernel()
		w.next.Lacks = []string{"igb", "xt_socket", "nvidia"}
		w.later[0].Provides = append(w.later[0].Provides, "kmod(igb.ko)")
		w.later = append(w.later, dnfbridge.Package{
			NEVRA: "kernel-modules-2-1.x86_64", RepoID: "lab", Provides: []string{"kernel-modules-uname-r = " + nextRelease, "kmod(xt_socket.ko)"},
		})
		w.mode = daemon.Observe
		engine, _ := w.run(t)
		after(time.Second)
		lacks := "lacks the driver of 0000:01:00.0, and what is loaded now: igb, xt_socket, nvidia. To install it: driverd image install --for " + nextRelease + " sriov"
		if got := w.view().NextKernel; got.Release != nextRelease || got.Ready || got.Message != lacks {
			t.Errorf("at first: %+v", got)
		}
		w.onInstall = func([]string) error {
			w.change(func() { w.next.Kernel, w.next.Lacks = w.installed, []string{"nvidia"} })
			return nil
		}
		if err := engine.SetMode(t.Context(), daemon.Auto, "uid:0"); err != nil {
			t.Fatal(err)
		}
		after(5 * time.Second)
		want := daemon.NextKernel{
			Release: nextRelease, Packages: []string{"kernel-modules-2-1.x86_64", nextSRIOV},
			Message: "lacks the driver of 0000:01:00.0, and what is loaded now: xt_socket, nvidia. To install it: driverd image install --for " + nextRelease + " hardware sriov",
		}
		if diff := cmp.Diff(want, w.view().NextKernel); diff != "" {
			t.Error(diff)
		}
		after(time.Minute)
		if got := w.transactions(); len(got) != 1 || !slices.Equal(got[0], want.Packages) {
			t.Errorf("installed %v", got)
		}
		if got := w.view().NextKernel; got.Ready || got.Message != "lacks what is loaded now: nvidia" {
			t.Errorf("in the end: %+v", got)
		}
		w.change(func() { w.next.Lacks, w.next.Doubt = nil, errors.New("permission denied") })
		after(time.Minute)
		if got := w.view().NextKernel; !got.Ready || got.Message != "It is the newest of its variant, as the boot loader's choice cannot be read: permission denied" {
			t.Errorf("once it has it all: %+v", got)
		}
		w.change(func() { w.next = daemon.Next{} })
		after(time.Minute)
		if got := w.view().NextKernel; got.Release != "" {
			t.Errorf("without one: %+v", got)
		}
	})
}

// What a package does not help with is not installed again and again.
func TestNextKernelIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newerKernel()
		w.onInstall = func([]string) error { return nil }
		w.run(t)
		after(10 * time.Minute)
		if got := w.transactions(); len(got) != 1 {
			t.Errorf("installed %v", got)
		}
	})
}

func TestNextKernelIsLeftAlone(t *testing.T) {
	for name, change := range map[string]func(*world){
		"it has the driver":               func(w *world) { w.next.Kernel = w.installed },
		"it has the driver built in":      func(w *world) { w.next.Kernel = &kernel{builtIn: w.installed.installed} },
		"driverd only observes":           func(w *world) { w.mode = daemon.Observe },
		"the configuration is wrong":      func(w *world) { w.badConfig = errors.New("wrong") },
		"a rule denies the device":        func(w *world) { w.config.Policy.Rules = []plan.Rule{{Slots: []string{slot(1).String()}}} },
		"nothing drives the device":       func(w *world) { w.devices[slot(1)] = hwdetect.Device{Slot: slot(1), Modalias: edu} },
		"its driver is no kernel package": func(w *world) { w.installed.installed = nil },
		"there is none":                   func(w *world) { w.next = daemon.Next{} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newerKernel()
				change(w)
				w.run(t)
				after(10 * time.Minute)
				if got := w.transactions(); len(got) != 0 {
					t.Errorf("installed %v", got)
				}
			})
		})
	}
}

func TestNextKernelIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newerKernel()
		well, fails := w.onInstall, 2
		w.onInstall = func(packages []string) error {
			if fails--; fails >= 0 {
				return reason.With(reason.RepoUnreachable, errors.New("no route"))
			}
			return well(packages)
		}
		engine, _ := w.run(t)
		after(20 * time.Second)
		if got := w.transactions(); len(got) != 1 {
			t.Fatalf("installed %v", got)
		}
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(20 * time.Second)
		if got := w.transactions(); len(got) != 2 {
			t.Errorf("after a rescan installed %v", got)
		}
		after(2 * time.Minute)
		if got := w.transactions(); len(got) != 3 || len(w.next.Kernel.Installed(igb.alias)) == 0 {
			t.Errorf("in the end installed %v", got)
		}
	})
}
