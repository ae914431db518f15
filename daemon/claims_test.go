// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"driverd/daemon"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// Patterns that match mega, and what claims it by them.
func claimsOfMega(source hwdetect.Source, pattern string) []hwdetect.Claim {
	return []hwdetect.Claim{{Source: source, Alias: pattern, Module: hwdetect.Module{Name: "other"}}}
}

const (
	megaExact = "pci:v00001000d00000060sv*sd*bc*sc*i*"
	megaClass = "pci:v*d*sv*sd*bc01sc04i*"
)

// refuses is a driver that is loaded and says that it cannot drive the device.
var refuses = reason.With(reason.ProbeFailed, errors.New("its driver is loaded and has failed"))

// A driver that had its chance, and has not taken the device, gives way to the next.
func TestDriverGivesWay(t *testing.T) {
	for name, source := range map[string]hwdetect.Source{"installed": hwdetect.Installed, "built in": hwdetect.BuiltIn} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.installed.also = claimsOfMega(source, megaExact)
				w.onLoad = func(s hwdetect.Slot) error {
					if !w.has[mega.nevra] {
						return refuses
					}
					w.offer(s, mega.module)
					return nil
				}
				engine, _ := w.run(t)
				w.plug(1, mega.alias)
				engine.Kick()
				after(time.Second)
				if got := w.transactions(); source == hwdetect.BuiltIn && len(got) > 0 {
					t.Errorf("before its chance was over: %v", got)
				}
				after(20 * time.Second)
				d := w.device(1)
				expect(t, d, plan.Bound, "")
				if d.Driver != mega.module {
					t.Errorf("it is bound to %s", d.Driver)
				}
			})
		})
	}
}

// With no driver left, the device shows why the last one failed, and rests until there
// are other modules, or somebody asks.
func TestEveryDriverFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.also = claimsOfMega(hwdetect.Installed, megaExact)
		w.onLoad = func(hwdetect.Slot) error { return refuses }
		engine, _ := w.run(t)
		w.plug(1, mega.alias)
		w.plug(2, mega.alias)
		engine.Kick()
		after(time.Hour)
		for n := range uint8(2) {
			expect(t, w.device(n+1), plan.Failed, reason.ProbeFailed)
		}
		loads := len(w.loads)
		if got := w.transactions(); len(got) != 1 || loads > 4 {
			t.Errorf("transactions %v and %d load steps", got, loads)
		}
		after(time.Hour)
		if len(w.loads) != loads {
			t.Errorf("%d load steps more, though nothing has changed", len(w.loads)-loads)
		}
		if err := engine.Rescan(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		if len(w.loads) == loads {
			t.Error("a rescan tries nothing")
		}
	})
}

// A driver that claims a class or a vendor, and says nothing of a device that it does
// not take, does not know it.
func TestNoDriverKnowsIt(t *testing.T) {
	for name, test := range map[string]struct {
		source hwdetect.Source
		load   error
	}{
		"built in":  {hwdetect.BuiltIn, nil},
		"installed": {hwdetect.Installed, reason.Silent(refuses)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.installed.also = claimsOfMega(test.source, "pci:v00001234d*sv*sd*bc*sc*i*")
				w.onLoad = func(hwdetect.Slot) error { return test.load }
				engine, _ := w.run(t)
				w.plug(1, edu)
				engine.Kick()
				after(time.Minute)
				expect(t, w.device(1), plan.Unsupported, reason.NoDriver)
				if got := w.device(1).Message; !strings.Contains(got, "other, for all devices of its vendor, has not taken it") {
					t.Errorf("it says %q", got)
				}
				x, err := engine.Explain(t.Context(), slot(1).String())
				if err != nil || x.Want.State != plan.Unsupported {
					t.Errorf("explained as %+v, %v", x.Want, err)
				}
			})
		})
	}
}

// A driver of a class does not hide the one that knows the device.
func TestClassHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.installed.also = claimsOfMega(hwdetect.Installed, megaClass)
		engine, _ := w.run(t)
		w.plug(1, mega.alias)
		engine.Kick()
		after(20 * time.Second)
		expect(t, w.device(1), plan.Bound, "")
		if len(w.loads) != 1 || w.device(1).Driver != mega.module {
			t.Errorf("%d load steps, bound to %s", len(w.loads), w.device(1).Driver)
		}
	})
}

// The sound of a graphics card brings in the largest package only if somebody asks for it.
func TestSideFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i, p := range w.packages {
			if p.NEVRA == mega.nevra {
				w.packages[i].Provides = append(slices.Clone(p.Provides[1:]), "kernel-modules-uname-r = "+release)
			}
		}
		sound := hwdetect.Slot{Bus: 1, Function: 1}
		w.devices[sound] = hwdetect.Device{Slot: sound, Class: 0x040300, Modalias: mega.alias}
		engine, _ := w.run(t)
		engine.Kick()
		after(time.Minute)
		show := func() daemon.Device { return w.view().Devices[0] }
		expect(t, show(), plan.Blocked, reason.Policy)
		if got := show().Message; !strings.Contains(got, "driverd install "+sound.String()) {
			t.Errorf("it says %q", got)
		}
		if _, err := engine.Install(t.Context(), daemon.Request{Origin: "uid:0"}); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expect(t, show(), plan.Blocked, reason.Policy) // it was not named
		if _, err := engine.Install(t.Context(), daemon.Request{Selectors: []string{sound.String()}, Origin: "uid:0"}); err != nil {
			t.Fatal(err)
		}
		after(time.Minute)
		expect(t, show(), plan.Bound, "")
	})
}
