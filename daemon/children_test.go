// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/plan"
	"driverd/reason"
)

const (
	storage = "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00"
	rdma    = "auxiliary:mlx5_core.rdma"
	disk    = "scsi:t-0x00"
)

var installed = hwdetect.ChildModules{Installed: []string{"usb_storage"}}

// bound is a world with a bound device in slot 1 and children below it.
func bound(children ...hwdetect.Child) *world {
	w := newWorld()
	w.devices[slot(1)] = hwdetect.Device{Slot: slot(1), Modalias: igb.alias, Driver: "xhci_hcd"}
	w.parts = map[hwdetect.Slot]hwdetect.Parts{slot(1): {Binding: 1, Children: children}}
	w.claims = make(map[string]hwdetect.ChildModules)
	return w
}

// child adds a child below slot 1, as the kernel does, or gives it a driver.
func (w *world) child(modalias, driver string) {
	parts := w.parts[slot(1)]
	parts.Children = slices.DeleteFunc(slices.Clone(parts.Children), func(c hwdetect.Child) bool { return c.Modalias == modalias })
	parts.Children = append(parts.Children, hwdetect.Child{Path: "below/" + modalias, Modalias: modalias, Driver: driver})
	w.parts[slot(1)] = parts
}

func (w *world) isComplete() bool { return slices.Contains(steps(w.device(1)), "complete") }

// A child whose module is there and that the kernel has not asked for gets it by the
// load step of its device, which stays bound all the time; so does the child that
// comes of it.
func TestChildrenGetTheirDrivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bound(hwdetect.Child{Path: "usb3/3-1/3-1:1.0", Modalias: storage})
		w.claims[storage], w.claims[disk] = installed, hwdetect.ChildModules{Installed: []string{"sd_mod"}}
		steps := 0
		w.onLoadContext = func(ctx context.Context) error {
			err := spend(ctx, time.Second)
			w.change(func() {
				switch w.child(storage, "usb-storage"); steps {
				case 0:
					w.child(disk, "")
				default:
					w.child(disk, "sd")
				}
				steps++
			})
			return err
		}
		w.run(t)
		after(500 * time.Millisecond)
		expect(t, w.device(1), plan.Bound, "")
		if w.isComplete() {
			t.Error("complete, and a child waits")
		}
		after(3 * time.Second)
		if !w.isComplete() || steps != 2 {
			t.Errorf("complete: %v, %d steps", w.isComplete(), steps)
		}
		want := []hwdetect.Child{{Path: "below/" + storage, Modalias: storage, Driver: "usb-storage"}, {Path: "below/" + disk, Modalias: disk, Driver: "sd"}}
		if diff := cmp.Diff(want, w.device(1).Children); diff != "" {
			t.Error(diff)
		}
		after(3 * time.Minute)
		if steps != 2 {
			t.Errorf("%d steps", steps)
		}
	})
}

// A child that nothing claims, or whose modules are loaded and do not want it, costs
// no load step; nor does one that is denied.
func TestNoNeedlessLoadSteps(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(*world)
		complete bool
		message  string
	}{
		"nothing claims it":           {func(*world) {}, true, ""},
		"it has its driver":           {func(w *world) { w.child(storage, "usb-storage") }, true, ""},
		"its driver does not want it": {func(w *world) { w.claims[storage], w.inKernel = installed, []string{"usb_storage"} }, false, ""},
		"a rule denies its module": {func(w *world) {
			w.claims[storage] = installed
			w.config.Policy.Rules = []plan.Rule{{Modules: []string{"usb_storage"}, Origin: plan.Origin{File: "driverd.toml", Line: 7}}}
		}, false, "driverd.toml:7"},
		"driverd only observes": {func(w *world) { w.claims[storage], w.config.Observe = installed, true }, false, "load usb_storage"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := bound(hwdetect.Child{Path: "3-1:1.0", Modalias: storage})
				c.prepare(w)
				w.run(t)
				after(3 * time.Minute)
				d := w.device(1)
				expect(t, d, plan.Bound, "")
				if len(w.loads) != 0 || w.isComplete() != c.complete || (d.Message == "") != (c.message == "") || !strings.Contains(d.Message, c.message) {
					t.Errorf("loads %v, %+v", w.loads, d)
				}
			})
		})
	}
}

// What keeps a child from its driver is told once, is no failure of the device, and is
// tried again when the modules on the disk are others.
func TestChildThatCannotBeLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bound(hwdetect.Child{Path: "3-1:1.0", Modalias: storage})
		w.claims[storage] = installed
		w.onLoad = func(hwdetect.Slot) error {
			return reason.With(reason.Blacklisted, errors.New("3-1:1.0: usb_storage is blacklisted"))
		}
		engine, _ := w.run(t)
		after(3 * time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if m := w.device(1).Message; m != "3-1:1.0: usb_storage is blacklisted" || len(w.loads) != 1 {
			t.Errorf("message %q, loads %v", m, w.loads)
		}
		w.change(func() {
			w.installed = &kernel{map[string]string{}, map[string]string{}, map[string]hwdetect.Module{}, nil} // depmod has run
			w.onLoad = func(hwdetect.Slot) error { w.child(storage, "usb-storage"); return nil }
		})
		after(3 * time.Minute)
		if m := w.device(1).Message; m != "" || len(w.loads) != 2 {
			t.Errorf("message %q, loads %v", m, w.loads)
		}
		if err := engine.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A device goes away while its children are loaded; the next in its slot is another.
func TestDeviceVanishesWhileItsChildrenAreLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bound(hwdetect.Child{Path: "3-1:1.0", Modalias: storage})
		w.claims[storage] = installed
		w.onLoadContext = func(ctx context.Context) error {
			return errors.Join(spend(ctx, 5*time.Second), errors.New("no such device"))
		}
		engine, _ := w.run(t)
		after(time.Second)
		w.unplug(1)
		engine.Changed(slot(1))
		after(time.Minute)
		if d := w.device(1); d.State != "" {
			t.Errorf("%+v", d)
		}
		if err := engine.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A child whose driver is in a package that is not there is reported with the command
// that brings it, and brought if that is configured.
func TestPackagesForChildren(t *testing.T) {
	const pkg = "kernel-modules-1-1.x86_64"
	for name, claim := range map[string]hwdetect.ChildModules{
		"by the index of the build":       {Shipped: []hwdetect.Module{{Name: "mlx5_ib"}}},
		"by what the packages say it has": {},
	} {
		for _, install := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, install %v", name, install), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := bound(hwdetect.Child{Path: "mlx5_core.rdma.0", Modalias: rdma})
					w.claims[rdma] = claim
					w.packages = append(w.packages, dnfbridge.Package{NEVRA: pkg, RepoID: "lab", Provides: []string{
						"kernel-modules-uname-r = " + release, "kmod(mlx5_ib.ko)", "modalias(auxiliary:mlx5_core.rdma)", "modalias(pci:v1*)",
					}})
					w.config.Policy.InstallForChildren = install
					w.onLoad = func(hwdetect.Slot) error { w.child(rdma, "mlx5_ib"); return nil }
					w.onInstall = func([]string) error {
						w.change(func() { w.claims = map[string]hwdetect.ChildModules{rdma: {Installed: []string{"mlx5_ib"}}} })
						return nil
					}
					w.run(t)
					after(time.Minute)
					d := w.device(1)
					expect(t, d, plan.Bound, "")
					if install {
						if len(w.installs) != 1 || len(w.loads) != 1 || d.Message != "" || !w.isComplete() {
							t.Errorf("installs %v, loads %v, %+v", w.installs, w.loads, d)
						}
						return
					}
					command := "dnf5 install " + pkg
					if len(claim.Shipped) > 0 {
						command = "driverd install 'kmod(mlx5_ib.ko)'"
					}
					if len(w.installs) != 0 || !w.isComplete() || !strings.Contains(d.Message, "mlx5_core.rdma.0 has no driver: ") || !strings.HasSuffix(d.Message, command) {
						t.Errorf("installs %v, %+v", w.installs, d)
					}
				})
			})
		}
	}
}

// What the driver makes on the auxiliary bus is known beforehand: packages for it come in the
// transaction of the driver, which does not wait for them if they cannot be had.
func TestPackagesForChildrenComeWithTheDriver(t *testing.T) {
	const pkg, part = "kernel-modules-1-1.x86_64", "auxiliary:igb.rdma"
	for name, test := range map[string]struct {
		report bool
		fails  bool
		want   [][]string
	}{
		"together":       {want: [][]string{{pkg, igb.nevra}}},
		"not configured": {report: true, want: [][]string{{igb.nevra}}},
		"not to be had":  {fails: true, want: [][]string{{pkg, igb.nevra}, {igb.nevra}, {pkg}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.installed.shipped[igb.alias] = hwdetect.Module{Name: "igb"}
				w.packages = append(w.packages, dnfbridge.Package{NEVRA: pkg, RepoID: "lab", Provides: []string{
					"kernel-modules-uname-r = " + release, "kmod(irdma.ko)", "modalias(auxiliary:igb.rdma)", "modalias(auxiliary:*.rdma)",
				}})
				w.config.Policy.InstallForChildren = !test.report
				w.claims = map[string]hwdetect.ChildModules{}
				w.onInstall = func(nevras []string) error {
					if test.fails && slices.Contains(nevras, pkg) {
						return reason.With(reason.UntrustedPackage, errors.New("no"))
					}
					return nil
				}
				w.onLoad = func(hwdetect.Slot) error {
					d := w.devices[slot(1)]
					d.Driver = "igb"
					w.devices[slot(1)] = d
					w.parts = map[hwdetect.Slot]hwdetect.Parts{slot(1): {Binding: 1}}
					w.child(part, "")
					if w.has[pkg] {
						w.claims[part] = hwdetect.ChildModules{Installed: []string{"irdma"}}
						w.child(part, "irdma")
					}
					return nil
				}
				w.plug(1, igb.alias)
				w.run(t)
				after(time.Minute)
				expect(t, w.device(1), plan.Bound, "")
				if diff := cmp.Diff(test.want, w.installs); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A driver takes its device without its firmware: the device is bound, the firmware
// is brought, and its driver is left alone: the message names the command.
func TestBoundWithoutFirmware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.devices[slot(1)] = hwdetect.Device{Slot: slot(1), Modalias: igb.alias, Driver: "xhci_hcd"}
		w.parts = map[hwdetect.Slot]hwdetect.Parts{slot(1): {Binding: 1}}
		w.onLoad = func(hwdetect.Slot) error {
			if slices.Contains(w.lacking, qedFile) {
				return &firmware.MissingError{Files: []string{qedFile}, Err: errors.New("xhci_hcd asked for it in vain")}
			}
			return nil
		}
		engine, _ := w.run(t)
		after(time.Second)
		expect(t, w.device(1), plan.Bound, "")
		if m := w.device(1).Message; !strings.Contains(m, "/lib/firmware/"+qedFile) {
			t.Errorf("message %q", m)
		}
		after(time.Minute)
		const command = "echo 0000:01:00.0 | tee /sys/bus/pci/drivers/xhci_hcd/unbind /sys/bus/pci/drivers/xhci_hcd/bind"
		if m := w.device(1).Message; len(w.installs) != 1 || len(w.loads) != 1 || !strings.HasSuffix(m, command) {
			t.Errorf("installs %v, loads %v, message %q", w.installs, w.loads, m)
		}
		w.change(func() { // an administrator runs it
			parts := w.parts[slot(1)]
			parts.Binding++
			w.parts[slot(1)] = parts
		})
		engine.Changed(slot(1))
		after(time.Second)
		if d := w.device(1); d.Message != "" || len(w.loads) != 2 {
			t.Errorf("loads %v, %+v", w.loads, d)
		}
	})
}

// The step that looks in the kernel's log for firmware could not be started: it is tried again.
func TestFirmwareIsAskedAboutWhenPolkitIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFirmwareWorld()
		w.devices[slot(1)] = hwdetect.Device{Slot: slot(1), Modalias: igb.alias, Driver: "xhci_hcd"}
		w.parts = map[hwdetect.Slot]hwdetect.Parts{slot(1): {Binding: 1}}
		w.onLoad = func(hwdetect.Slot) error {
			return reason.With(reason.NotAuthorized, reason.NotStarted(errors.New("polkit is restarted")))
		}
		w.run(t)
		after(10 * time.Second)
		w.change(func() {
			w.onLoad = func(hwdetect.Slot) error {
				return &firmware.MissingError{Files: []string{qedFile}, Err: errors.New("xhci_hcd asked for it in vain")}
			}
		})
		after(time.Hour)
		if diff := cmp.Diff([]string{qed}, w.brought()); diff != "" || len(w.loads) != 2 {
			t.Errorf("loads %v, brought: %s", w.loads, diff)
		}
	})
}

// What is below devices is read when something may have changed there.
func TestPartsAreReadWhenTheyMayHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bound()
		w.plug(2, edu)
		engine, _ := w.run(t)
		count := func(after string, want int) {
			t.Helper()
			w.change(func() {
				if w.partsReads != want {
					t.Errorf("%s: read %d times, want %d", after, w.partsReads, want)
				}
			})
		}
		count("the start", 1)
		for range 10 {
			engine.Kick()
			after(time.Second)
		}
		count("kicks", 1)
		w.change(func() { w.parts[slot(1)] = hwdetect.Parts{Binding: 1, Functions: []string{"net/enp1s0"}} })
		engine.Changed(slot(1))
		engine.Changed(slot(2))
		after(time.Second)
		count("a change", 2)
		if got := w.device(1).Functions; !slices.Equal(got, []string{"net/enp1s0"}) {
			t.Errorf("functions %v", got)
		}
		after(2 * time.Minute)
		w.change(func() {
			if w.partsReads < 3 || w.partsReads > 4 {
				t.Errorf("read %d times in two minutes more", w.partsReads-2)
			}
		})
	})
}

// Part of what is below a device could not be read: it says so, and is unharmed.
func TestTooManyChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := bound()
		parts := w.parts[slot(1)]
		for n := range 1024 {
			parts.Children = append(parts.Children, hwdetect.Child{Path: fmt.Sprint(n), Modalias: fmt.Sprintf("usb:v%04X", n)})
			w.claims[fmt.Sprintf("usb:v%04X", n)] = hwdetect.ChildModules{Shipped: []hwdetect.Module{{Name: fmt.Sprint("m", n)}}}
		}
		parts.Problem = errors.New("there are more than 1024 devices")
		w.parts[slot(1)] = parts
		w.run(t)
		after(time.Minute)
		expect(t, w.device(1), plan.Bound, "")
		if m := w.device(1).Message; !strings.Contains(m, "more than 1024 devices") || len(m) > 1000 {
			t.Errorf("message %q", m)
		}
	})
}
