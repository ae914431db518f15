// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"strings"
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

// What the repositories have now is seen only once the metadata is renewed.
func (w *world) cacheIsOld(now []dnfbridge.Package) {
	w.onRenew = func() { w.packages = now }
}

// A card whose driver is not in the catalog may have one in the repositories by now:
// they are asked before anything is said, once for all cards of a burst.
func TestDriverThatCameSinceTheCatalog(t *testing.T) {
	for name, known := range map[string]int{"another package is known": 1, "the build is not known": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				all := w.packages
				w.packages = all[:known]
				engine, _ := w.run(t)
				after(time.Hour)
				renewals := w.renewals
				w.change(func() { w.cacheIsOld(all) })
				for n := range uint8(4) {
					w.plug(n+1, mega.alias)
				}
				w.plug(9, edu)
				engine.Kick()
				after(20 * time.Second)
				expect(t, w.device(1), plan.Bound, "")
				expect(t, w.device(4), plan.Bound, "")
				expect(t, w.device(9), plan.Unsupported, reason.NoDriver)
				after(10 * time.Hour)
				if got := w.renewals - renewals; got != 1 {
					t.Errorf("the metadata was renewed %d times", got)
				}
			})
		})
	}
}

// What the cache answers is not asked again.
func TestKnownDriverRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, _ := w.run(t)
		w.plug(1, igb.alias)
		engine.Kick()
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
		if w.renewals != 0 || w.listings != 1 {
			t.Errorf("%d listings, %d of them with the metadata renewed", w.listings, w.renewals)
		}
	})
}

// Every guest has parts of the chipset that no driver is for.
func TestChipsetRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		bridge := hwdetect.Device{Slot: slot(1), Class: 0x060000, Modalias: "pci:v00008086d000029C0sv00001AF4sd00001100bc06sc00i00"}
		w.devices[slot(1)] = bridge
		w.run(t)
		after(time.Hour)
		expect(t, w.device(1), plan.Unsupported, reason.NoDriver)
		if w.renewals != 0 {
			t.Errorf("the metadata was renewed %d times", w.renewals)
		}
	})
}

// After a new kernel is booted, the metadata may be older than it. Nothing false is
// shown meanwhile.
func TestKernelThatIsNewerThanTheMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		all := w.packages
		w.packages = nil
		w.cacheIsOld(all)
		w.onPublish = func() {
			if w.published.Reason != "" || len(w.published.Devices) > 0 && w.published.Devices[0].Reason != "" {
				t.Errorf("shown is %+v", w.published)
			}
		}
		w.plug(1, igb.alias)
		w.run(t)
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}

// A kernel that the repositories do not have yet is there as soon as a mirror has caught up: each
// retry renews the metadata.
func TestRetriesForABuildRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		all := w.packages
		w.packages = []dnfbridge.Package{{NEVRA: "kernel-core-1-1.x86_64", Installed: true, Provides: []string{"kernel-core-uname-r = " + release}}}
		var log strings.Builder
		w.log = &log
		w.plug(1, igb.alias)
		_, stop := w.run(t)
		after(20 * time.Second)
		expect(t, w.device(1), plan.Unavailable, reason.StaleKernel)
		w.change(func() { w.cacheIsOld(all) })
		after(2 * time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		stop()
		if n := strings.Count(log.String(), "catalog-learned"); n != 1 {
			t.Errorf("the catalog was learned once, the log says so %d times", n)
		}
	})
}

// A device that came is not told that it has no driver when nobody could be asked; that
// is tried again in time.
func TestRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		all := w.packages
		w.packages = all[:1]
		engine, _ := w.run(t)
		w.change(func() {
			w.onList = func(context.Context) error { return reason.With(reason.RepoUnreachable, errors.New("no route")) }
			w.cacheIsOld(all)
		})
		w.plug(1, mega.alias)
		w.plug(2, igb.alias)
		engine.Kick()
		after(20 * time.Second)
		expect(t, w.device(1), plan.Unavailable, reason.RepoUnreachable)
		expect(t, w.device(2), plan.Bound, "")
		if w.renewals != 1 {
			t.Errorf("%d tries at once", w.renewals)
		}
		w.change(func() { w.onList = nil })
		after(2 * time.Minute)
		expect(t, w.device(1), plan.Bound, "")
	})
}

func TestRescanRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		all := w.packages
		w.packages = all[:1]
		w.plug(1, mega.alias)
		engine, _ := w.run(t)
		after(time.Minute)
		expect(t, w.device(1), plan.Unsupported, reason.NoDriver)
		w.change(func() { w.cacheIsOld(all) })
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
	})
}

// Who asks by name is answered from what the repositories have now.
func TestRequestRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		all := w.packages
		w.packages = all[:1]
		engine, _ := w.run(t)
		w.change(func() { w.cacheIsOld(all) })
		if _, err := engine.Install(t.Context(), daemon.Request{Selectors: []string{mega.alias}}); err != nil {
			t.Error(err)
		}
	})
}

// A service that is started again and again does not have the metadata renewed each
// time for a card that has no driver; one that is started later does.
func TestRestartsRenewSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.plug(1, edu)
		for range 5 {
			_, stop := w.run(t)
			after(time.Minute)
			expect(t, w.device(1), plan.Unsupported, reason.NoDriver)
			stop()
		}
		if w.renewals != 1 {
			t.Errorf("the metadata was renewed %d times", w.renewals)
		}
		after(time.Hour)
		w.run(t)
		after(time.Minute)
		if w.renewals != 2 {
			t.Errorf("after an hour it was renewed %d times in all", w.renewals)
		}
	})
}

// A package that a transaction does not find any more may have another name by now: the
// transaction has renewed the metadata, and that is enough.
func TestPackageWithAnotherName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		old, all := w.packages[0], w.packages
		old.NEVRA = "kernel-modules-net-1-1.x86_64"
		w.packages = []dnfbridge.Package{old}
		engine, _ := w.run(t)
		w.change(func() {
			w.onInstall = func(packages []string) error {
				if packages[0] != old.NEVRA {
					return nil
				}
				w.change(func() { w.packages = all })
				return reason.With(reason.NoPackage, errors.New("no match for argument"))
			}
		})
		w.plug(1, igb.alias)
		engine.Kick()
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if w.renewals != 0 {
			t.Errorf("the metadata was renewed %d times more", w.renewals)
		}
	})
}

// What DNF hides is no foreign kernel and no old one, and leaves the service at work.
func TestExcludedPackages(t *testing.T) {
	for name, hide := range map[string]func(w *world){
		"one": func(w *world) { w.packages = w.packages[1:] },
		"all": func(w *world) { w.packages = nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				all := w.packages
				hide(w)
				w.onRenew = func() {
					w.packages = nil
					for i, p := range all {
						p.Excluded = i == 0 || name == "all"
						w.packages = append(w.packages, p)
					}
				}
				w.plug(1, igb.alias)
				engine, _ := w.run(t)
				after(time.Minute)
				expect(t, w.device(1), plan.Unavailable, reason.Excluded)
				if v := w.view(); v.Status != daemon.Ready || v.Reason != "" {
					t.Errorf("the service is %s (%s): %s", v.Status, v.Reason, v.Message)
				}
				after(50 * time.Hour)
				expect(t, w.device(1), plan.Unavailable, reason.Excluded)
				w.change(func() { w.onRenew, w.packages, w.repositories = nil, all, "dnf.conf" })
				engine.Kick()
				after(20 * time.Second)
				expect(t, w.device(1), plan.Bound, "")
			})
		})
	}
}

// addedFile is a finder of a package with a file that came since the metadata.
type addedFile struct{ asked []bool }

func (f *addedFile) Find(_ context.Context, _ []string, fresh bool) ([]dnfbridge.Package, error) {
	f.asked = append(f.asked, fresh)
	if !fresh {
		return nil, nil
	}
	return []dnfbridge.Package{{NEVRA: "e100-firmware-2-1.noarch", Name: "e100-firmware", RepoID: "lab"}}, nil
}

// A file that the kernel has asked for is looked for in new metadata before it is said
// to be missing.
func TestFirmwareThatCameSince(t *testing.T) {
	t.Parallel()
	const file = "e100/d102e_ucode.bin"
	w := newWorld()
	w.lacking = []string{file}
	finder := &addedFile{}
	found, err := daemon.FindFirmware(t.Context(), finder, w, []string{file}, plan.Policy{})
	if diff := cmp.Diff([]string{"e100-firmware-2-1.noarch"}, found); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if diff := cmp.Diff([]bool{false, true}, finder.asked[len(finder.asked)-2:]); diff != "" {
		t.Error(diff)
	}
}
