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

	"driverd/daemon"
	"driverd/daemon/config"
	"driverd/dnfbridge"
	"driverd/plan"
	"driverd/reason"
)

const (
	eduAlias = "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00"
	eduKmod  = "kmod-edu-1-1.x86_64"
)

// vendors are the drop-in of edu, enabled or not.
func vendors(enabled bool) config.Config {
	return config.Config{Vendors: []plan.Vendor{{
		Name: "edu", Enabled: enabled, Description: "The lab's driver", Match: []string{"pci:v00001234d*"}, Kmods: []string{"kmod-edu"}, Modules: []string{"edu"},
	}}}
}

// withEdu is a world with an edu card, whose driver a vendor has for the running kernel.
func withEdu() *world {
	w := newWorld()
	w.config = vendors(false)
	w.vendor = map[string][]dnfbridge.Package{release: {{NEVRA: eduKmod, RepoID: "maker", DownloadSize: 1e6}}}
	w.plug(1, eduAlias)
	w.onInstall = func(packages []string) error {
		if slices.Contains(packages, eduKmod) {
			w.change(func() {
				k := *w.installed
				k.installed = map[string]string{eduAlias: "edu"}
				w.installed = &k
			})
		}
		return nil
	}
	return w
}

// A vendor's driver is offered, and installed once it is enabled; the history says who has
// enabled it.
func TestVendorIsEnabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withEdu()
		engine, _ := w.run(t)
		after(30 * time.Second)
		d := w.device(1)
		if d.State != "blocked" || d.Reason != reason.VendorDriver || !strings.Contains(d.Message, "driverd vendor enable edu; "+eduKmod+", 1.0 MB") {
			t.Fatalf("%+v", d)
		}
		if n := len(w.transactions()); n > 0 {
			t.Errorf("%d transactions", n)
		}
		w.change(func() { w.config = vendors(true) })
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		if got := w.transactions(); len(got) != 1 || !slices.Equal(got[0], []string{eduKmod}) || !slices.Contains(w.allowed, eduKmod) {
			t.Fatalf("installed %v, allowed %v", got, w.allowed)
		}
		if d := w.device(1); d.State != "bound" || d.Driver != "edu" {
			t.Errorf("%+v", d)
		}
		w.change(func() { w.config = vendors(false) })
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		entries, err := engine.History(t.Context())
		var actions []string
		for _, e := range entries {
			actions = append(actions, e.Action+" by "+e.Origin)
		}
		if want := []string{"disable-vendor by uid:0", "install by hotplug", "enable-vendor by uid:0"}; err != nil || !slices.Equal(actions, want) {
			t.Errorf("history %q, want %q: %v", actions, want, err)
		}
	})
}

// The history has each change once, however often the service is restarted: also when a thousand
// entries have followed, and after a history that could not be read.
func TestVendorIsEnabledOnce(t *testing.T) {
	for name, test := range map[string]struct {
		file func(*world) // what becomes of the file of the history
		want int          // entries that say that it was enabled
	}{
		"a few entries follow": {func(*world) {}, 1},
		"a thousand entries follow": {func(w *world) {
			w.history = slices.Repeat([]daemon.Entry{{Action: "set-mode", Began: time.Now(), Time: time.Now()}}, 1000)
		}, 0},
		"the history is damaged": {func(w *world) { w.history, w.enabled, w.spoiled = nil, nil, errors.New("it is empty") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := withEdu()
				w.config = vendors(true)
				_, stop := w.run(t)
				after(time.Minute)
				stop()
				test.file(w)
				for range 3 {
					_, stop = w.run(t)
					after(2 * time.Minute)
					stop()
				}
				enabled := 0
				for _, entry := range w.history {
					if entry.Action == "enable-vendor" {
						enabled++
					}
				}
				if enabled != test.want {
					t.Errorf("%d entries say that it was enabled, want %d", enabled, test.want)
				}
			})
		})
	}
}

// What dnf has removed is not installed any more, though it was when it was last learned: another
// card has it installed again at once. It is asked about once, whatever the answer is.
func TestVendorsDriverIsRemoved(t *testing.T) {
	for name, still := range map[string]bool{"with its package": false, "its module alone": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := withEdu()
				w.config = vendors(true)
				engine, _ := w.run(t)
				after(time.Minute)
				expect(t, w.device(1), plan.Bound, "")
				w.unplug(1)
				engine.Kick()
				after(time.Minute)
				w.change(func() {
					k := *w.installed
					k.installed = map[string]string{}
					w.installed = &k
					w.vendor[release][0].Installed = still
					delete(w.has, eduKmod)
				})
				asked := len(w.vendorsAsked)
				w.plug(2, eduAlias)
				engine.Kick()
				after(time.Hour)
				if d := w.device(2); (d.State == plan.Bound) == still {
					t.Errorf("%+v", d)
				}
				if n, installs := len(w.vendorsAsked)-asked, len(w.transactions()); n != 1 || installs != 1 && still || installs != 2 && !still {
					t.Errorf("asked %d times, %d transactions", n, installs)
				}
			})
		})
	}
}

// With packages for other kernels alone, or without a way to the repositories, an enabled
// vendor's driver is unavailable, and it is tried again.
func TestVendorIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withEdu()
		w.config, w.vendor = vendors(true), nil
		engine, _ := w.run(t)
		after(time.Second)
		if d := w.device(1); d.State != "unavailable" || d.Reason != reason.NoPackage || !strings.Contains(d.Message, "kmod-other-1-1.x86_64 is made for kernel 1") {
			t.Errorf("%+v", d)
		}
		asked := len(w.vendorsAsked)
		after(time.Hour)
		if n := len(w.vendorsAsked) - asked; n != 0 {
			t.Errorf("the repositories were asked %d times more", n)
		}
		w.change(func() { w.badVendor = reason.With(reason.RepoUnreachable, errors.New("no route")) })
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		if d := w.device(1); d.State != "unavailable" || d.Reason != reason.RepoUnreachable {
			t.Errorf("%+v", d)
		}
		w.change(func() {
			w.badVendor = nil
			w.vendor = map[string][]dnfbridge.Package{release: {{NEVRA: eduKmod, RepoID: "maker"}}}
		})
		after(2 * time.Minute)
		if d := w.device(1); d.State != "bound" {
			t.Errorf("%+v", d)
		}
	})
}

// The next kernel is ready when the vendor's driver is there for it.
func TestNextKernelNeedsTheVendorsDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withEduBound()
		engine, _ := w.run(t)
		after(time.Minute)
		if got := w.view().NextKernel; got.Ready || got.Message != "edu not built for it yet" {
			t.Errorf("%+v", got)
		}
		w.onInstall = func([]string) error {
			w.change(func() { w.next.Kernel, w.next.Lacks = &kernel{installed: map[string]string{eduAlias: "edu"}}, nil })
			return nil
		}
		w.change(func() { w.vendor[nextRelease] = []dnfbridge.Package{{NEVRA: "kmod-edu-2-1.x86_64", RepoID: "maker"}} })
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(2 * time.Minute)
		if got := w.transactions(); len(got) != 1 || !slices.Equal(got[0], []string{"kmod-edu-2-1.x86_64"}) {
			t.Errorf("installed %v", got)
		}
		if got := w.view().NextKernel; !got.Ready {
			t.Errorf("%+v", got)
		}
	})
}

// withTwo are edu's drop-in and that of another driver for the card, which nothing has asked about yet.
func withTwo() (w *world, asked map[string]int) {
	w, asked = withEdu(), make(map[string]int)
	other := w.config.Vendors[0]
	other.Name, other.Kmods = "other", []string{"kmod-other"}
	w.config.Vendors = append(w.config.Vendors, other)
	w.onVendor = func(_ context.Context, v dnfbridge.Vendor) error {
		w.change(func() { asked[v.Kmods[0]]++ })
		return nil
	}
	return w, asked
}

// All drivers that would be for a card are asked about: the first that is there is offered.
func TestVendorThatIsThereIsOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, asked := withTwo()
		well := w.onVendor
		w.onVendor = func(ctx context.Context, v dnfbridge.Vendor) error {
			if v.Kmods[0] == "kmod-edu" {
				return reason.With(reason.RepoUnreachable, errors.New("no route"))
			}
			return well(ctx, v)
		}
		w.run(t)
		after(30 * time.Second)
		if d := w.device(1); asked["kmod-other"] == 0 || !strings.Contains(d.Message, "driverd vendor enable other; or, from elsewhere, edu; "+eduKmod) {
			t.Errorf("%v, %+v", asked, d)
		}
	})
}

// What could not be learned of one vendor is tried again though another was learned since.
func TestVendorIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, asked := withTwo()
		w.config.Vendors[1].Match = []string{"pci:v00004321d*"}
		failing, well := true, w.onVendor
		w.onVendor = func(ctx context.Context, v dnfbridge.Vendor) error {
			_ = well(ctx, v)
			w.mu.Lock()
			defer w.mu.Unlock()
			if failing && v.Kmods[0] == "kmod-edu" {
				return reason.With(reason.RepoUnreachable, errors.New("no route"))
			}
			return nil
		}
		engine, _ := w.run(t)
		after(time.Second)
		w.plug(2, "pci:v00004321d00000001sv00000000sd00000000bc00scFFi00")
		engine.Kick()
		after(time.Second)
		if asked["kmod-edu"] == 0 || asked["kmod-other"] != 1 {
			t.Fatalf("asked %v", asked)
		}
		w.change(func() { failing = false })
		after(5 * time.Minute)
		if d := w.device(1); !strings.Contains(d.Message, eduKmod) {
			t.Errorf("asked %v, %+v", asked, d)
		}
	})
}

// A drop-in that is gone while it could not be learned leaves nothing to ask.
func TestVendorThatIsGoneCostsNoLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withEdu()
		w.badVendor = reason.With(reason.RepoUnreachable, errors.New("no route"))
		w.run(t)
		after(time.Second)
		w.change(func() { w.config = config.Config{} })
		after(10 * time.Minute)
		looks := w.looked()
		after(10 * time.Minute)
		if n := w.looked() - looks; n > 30 {
			t.Errorf("%d looks in ten minutes", n)
		}
	})
}

// Who asks for a product that is not here waits until what its vendor has is learned, and no longer
// than a while; the catalog comes from the cache or not.
func TestRequestOfAVendorsDriver(t *testing.T) {
	for name, cached := range map[string]bool{"the catalog is learned": false, "the catalog is from the cache": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := withEdu()
				w.config = vendors(true)
				w.unplug(1)
				if cached {
					w.saved = &daemon.Learned{At: time.Now(), Listing: dnfbridge.Listing{Packages: w.packages}}
				}
				takes := time.Minute
				w.onVendor = func(ctx context.Context, _ dnfbridge.Vendor) error { return spend(ctx, takes) }
				engine, _ := w.run(t)
				after(time.Minute)
				began, looks := time.Now(), w.looked()
				if _, err := engine.Plan(t.Context(), []string{eduAlias}); !errors.Is(err, daemon.ErrBusy) || time.Since(began) != 20*time.Second || !strings.Contains(err.Error(), "packages of edu") {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				after(time.Minute)
				if p, err := engine.Plan(t.Context(), []string{eduAlias}); err != nil || len(p.Packages) != 1 || p.Packages[0].NEVRA != eduKmod {
					t.Errorf("%+v, %v", p, err)
				}
				if n := w.looked() - looks; n > 10 {
					t.Errorf("%d looks", n)
				}
				w.change(func() { takes, w.badVendor = 0, reason.With(reason.RepoUnreachable, errors.New("no route")) })
				if err := engine.Rescan(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := engine.Plan(t.Context(), []string{eduAlias}); !errors.Is(err, daemon.ErrBackendFailed) {
					t.Errorf("without a way to the repositories: %v", err)
				}
			})
		})
	}
}

// withEduBound is a world whose card has the vendor's driver, and a kernel that lacks it.
func withEduBound() *world {
	w := withEdu()
	w.config = vendors(true)
	w.installed.installed[eduAlias] = "edu"
	d := w.devices[slot(1)]
	d.Driver = "edu"
	w.devices[slot(1)] = d
	w.next = daemon.Next{Release: nextRelease, Kernel: &kernel{}, Lacks: []string{"edu"}}
	return w
}

// That nobody could be asked is not said to be an answer.
func TestNextKernelsVendorsCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withEduBound()
		w.badVendor = reason.With(reason.RepoUnreachable, errors.New("no route"))
		w.run(t)
		after(time.Minute)
		if got := w.view().NextKernel; got.Ready || got.Message != "cannot learn which package of edu is for kernel "+nextRelease+": no route" {
			t.Errorf("%+v", got)
		}
	})
}

// What the next kernel needs of its own comes though a vendor's driver for it does not.
func TestNextKernelsVendorsComeBySelf(t *testing.T) {
	const kmod = "kmod-edu-2-1.x86_64"
	synctest.Test(t, func(t *testing.T) {
		w := withEduBound()
		w.installed.installed[igb.alias] = igb.module
		w.plug(2, igb.alias)
		w.bind(2, igb.module)
		w.later = newerKernel().later
		w.vendor[nextRelease] = []dnfbridge.Package{{NEVRA: kmod, RepoID: "maker"}}
		w.onInstall = func(packages []string) error {
			if slices.Contains(packages, kmod) {
				return reason.With(reason.TransactionFailed, errors.New("it conflicts"))
			}
			w.change(func() { w.next.Kernel = &kernel{installed: map[string]string{igb.alias: igb.module}} })
			return nil
		}
		w.run(t)
		after(time.Second)
		if got, want := w.view().NextKernel.Packages, []string{nextSRIOV, kmod}; !slices.Equal(got, want) {
			t.Errorf("it is to get %v, want %v", got, want)
		}
		after(30 * time.Second)
		if got := w.transactions(); len(got) != 2 || !slices.Equal(got[0], []string{nextSRIOV}) || !slices.Equal(got[1], []string{kmod}) {
			t.Errorf("installed %v", got)
		}
	})
}
