// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

func TestParseSelector(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"0000:01:00.0", "10000:e1:00.7", igb, "8086:10c9", "8086:10C9", "sriov", "gpu", "passthrough", "hardware", "kmod(igb.ko)", "kmod(snd-hda-intel.ko)", "firmware(qed/init.bin)",
	} {
		if s, err := plan.ParseSelector(text); err != nil || s.String() != text {
			t.Errorf("%s: %q, %v", text, s, err)
		}
	}
	for _, text := range []string{
		"", " ", "base", "sriov ", "SRIOV", "igb", "kmod()", "kmod(.ko", "kmod(.ko)", "kmod(igb)", "kmod(igb.ko) = 1", "kmod(igb.ko))", "kmod(igb.ko.xz)", "kmod(i g.ko)", "kmod(\xff.ko)", "kmod(../igb.ko)", "kmod(" + strings.Repeat("x", 64) + ".ko)",
		"01:00.0", "/sys/bus/pci/devices/0000:01:00.0", "kernel-modules-sriov", "8086:", "firmware()", "firmware(/etc/passwd)", "firmware(../x)", "firmware(a*)", "firmware(a))", "firmware(a) = 1", "\x00", "\xff", "*", strings.Repeat("a", 1<<16),
	} {
		_, err := plan.ParseSelector(text)
		if err == nil {
			t.Errorf("%.80q is taken", text)
			continue
		}
		for _, form := range []string{"0000:01:00.0", "pci:v", "8086:10c9", "sriov, gpu, passthrough, hardware", "kmod(NAME.ko)", "firmware(FILE)"} {
			if !strings.Contains(err.Error(), form) {
				t.Errorf("%.80q: %v does not name %s", text, err, form)
			}
		}
		if len(err.Error()) > 400 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	card := func(bus uint8, alias, driver string) hwdetect.Device {
		return hwdetect.Device{Slot: hwdetect.Slot{Bus: bus}, Vendor: 0x8086, Product: 0x10c9, Modalias: alias, Driver: driver}
	}
	other := hwdetect.Device{Slot: hwdetect.Slot{Bus: 9}, Vendor: 0x1234, Product: 0x11e8, Modalias: edu}
	devices := []hwdetect.Device{card(1, igb, ""), card(2, igb, "igb"), other}
	has := map[string][]string{igb: {"igb"}}
	dead := reason.With(reason.RepoUnreachable, errors.New("no route"))
	held := plan.Policy{Holds: []plan.Hold{{Package: "kernel-modules-sriov"}}}
	for name, test := range map[string]struct {
		selector string
		facts    plan.Facts
		want     plan.Want // Message apart
		slots    string
	}{
		"a slot":               {"0000:01:00.0", plan.Facts{Catalog: catalog()}, plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"}, "[0000:01:00.0]"},
		"a slot with a driver": {"0000:02:00.0", plan.Facts{Catalog: catalog()}, plan.Want{State: plan.Bound}, "[0000:02:00.0]"},
		"a modalias":           {igb, plan.Facts{Catalog: catalog()}, plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"}, "[0000:01:00.0 0000:02:00.0]"},
		"a product":            {"8086:10c9", plan.Facts{Catalog: catalog()}, plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"}, "[0000:01:00.0 0000:02:00.0]"},
		"a group":              {"sriov", plan.Facts{Catalog: catalog()}, plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"}, "[0000:01:00.0]"},
		"a module":             {"kmod(igb.ko)", plan.Facts{Catalog: catalog()}, plan.Want{Action: plan.Install, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"}, "[0000:01:00.0]"},
		"a module, spelled the other way": {"kmod(lpc-ich.ko)", plan.Facts{Catalog: catalog()},
			plan.Want{Action: plan.Install, State: plan.Pending, Modules: []string{"lpc_ich"}, Packages: []string{"kernel-modules-7.2.12-1.x86_64"}, Group: "hardware"}, "[]"},
		"a modalias whose module is here": {igb, plan.Facts{Kernel: kernel{installed: has}, Catalog: catalog()},
			plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"}, "[0000:01:00.0 0000:02:00.0]"},
		"a group that nobody has":          {"gpu", plan.Facts{Catalog: catalog()}, plan.Want{State: plan.Unsupported, Reason: reason.NoDriver}, "[]"},
		"a module that nobody has":         {"kmod(nvidia.ko)", plan.Facts{Catalog: catalog()}, plan.Want{State: plan.Unsupported, Reason: reason.NoDriver}, "[]"},
		"a group, no catalog yet":          {"gpu", plan.Facts{}, plan.Want{Action: plan.Learn, State: plan.Pending}, "[]"},
		"a group, and no way to a catalog": {"gpu", plan.Facts{CatalogProblem: dead}, plan.Want{State: plan.Unavailable, Reason: reason.RepoUnreachable}, "[]"},
		"a group that is held": {"sriov", plan.Facts{Catalog: catalog(), Policy: held},
			plan.Want{State: plan.Blocked, Reason: reason.Policy, Packages: []string{sriov}, Group: "sriov"}, "[]"},
		"a group that is installed and no longer offered": {"sriov", plan.Facts{Catalog: plan.NewCatalog([]plan.Package{
			{NEVRA: sriov, Installed: true, Provides: []string{uname("kernel-modules-sriov")}},
		})}, plan.Want{Packages: []string{sriov}, Group: "sriov"}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.facts.Kernel == nil {
				test.facts.Kernel = kernel{}
			}
			test.facts.Release = release
			s, err := plan.ParseSelector(test.selector)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := s.Select(devices, test.facts)
			if !ok {
				t.Fatal("no device")
			}
			if message := got.Want.Message; (message == "") != (test.want.Reason == "") {
				t.Errorf("the message is %q", message)
			}
			got.Want.Message = ""
			if diff := cmp.Diff(test.want, got.Want); diff != "" {
				t.Error(diff)
			}
			slots := []string{}
			for _, slot := range got.Slots {
				slots = append(slots, slot.String())
			}
			if text := "[" + strings.Join(slots, " ") + "]"; text != test.slots {
				t.Errorf("for %s, want %s", text, test.slots)
			}
		})
	}
	empty, err := plan.ParseSelector("0000:77:00.0")
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := empty.Select(devices, plan.Facts{Kernel: kernel{}}); ok {
		t.Errorf("an empty slot is selected: %+v", got)
	}
}
