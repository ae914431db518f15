// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	const pattern = "pci:v00008086d000010C9sv*sd*bc*sc*i*"
	holder := func(installed bool) []plan.Holder {
		return []plan.Holder{{Package: plan.Package{NEVRA: sriov, Repo: "lab", Installed: installed}, Group: "sriov"}}
	}
	inCatalog := plan.Claim{Alias: pattern, Source: hwdetect.InCatalog, Package: sriov}
	for name, test := range map[string]struct {
		device hwdetect.Device
		facts  plan.Facts
		want   plan.Explanation // Want apart
	}{
		"in the catalog": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: kernel{}, Catalog: catalog()},
			plan.Explanation{Claims: []plan.Claim{inCatalog}, Packages: holder(false)},
		},
		// The catalog is from before the installation.
		"installed since": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: kernel{installed: map[string][]string{igb: {"igb"}}}, Catalog: catalog()},
			plan.Explanation{
				Claims:   []plan.Claim{{Alias: igb, Source: hwdetect.Installed, Module: "igb", Package: sriov}, inCatalog},
				Packages: holder(true),
			},
		},
		"in the catalog, and shipped": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: kernel{shipped: map[string][]hwdetect.Module{igb: {{Name: "igb", Group: "sriov", Firmware: []string{"igb.bin"}}}}}, Catalog: catalog()},
			plan.Explanation{
				Firmware: []string{"igb.bin"},
				Claims:   []plan.Claim{{Alias: igb, Source: hwdetect.Shipped, Module: "igb", Package: sriov}, inCatalog},
				Packages: holder(false),
			},
		},
		"in the catalog, and in driverd's index": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: named{pattern, "igb"}, Catalog: catalog()},
			plan.Explanation{Claims: []plan.Claim{{Alias: pattern, Source: hwdetect.InCatalog, Module: "igb", Package: sriov}}, Packages: holder(false)},
		},
		"built in, without a catalog": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: kernel{builtIn: map[string][]string{igb: {"igb"}}}},
			plan.Explanation{Claims: []plan.Claim{{Alias: igb, Source: hwdetect.BuiltIn, Module: "igb"}}},
		},
		// What would have claimed it is said all the same.
		"reserved": {
			hwdetect.Device{Modalias: igb, DriverOverride: "vfio-pci"},
			plan.Facts{Kernel: kernel{}, Catalog: catalog()},
			plan.Explanation{Claims: []plan.Claim{inCatalog}, Packages: holder(false)},
		},
		"nobody knows it": {
			hwdetect.Device{Modalias: edu}, plan.Facts{Kernel: kernel{}, Catalog: catalog()}, plan.Explanation{},
		},
		"broken modalias": {
			hwdetect.Device{}, plan.Facts{}, plan.Explanation{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := plan.Explain(test.device, test.facts)
			if diff := cmp.Diff(plan.Decide(test.device, test.facts), got.Want); diff != "" {
				t.Errorf("not what is decided: %s", diff)
			}
			got.Want = plan.Want{}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// named is a kernel of which driverd's index alone knows a module.
type named struct{ pattern, module string }

func (named) Installed(string) []string { return nil }
func (named) Problem() error            { return nil }

func (n named) Claims(source hwdetect.Source, _ string) []hwdetect.Claim {
	if source != hwdetect.InIndex {
		return nil
	}
	return []hwdetect.Claim{{Source: source, Alias: n.pattern, Module: hwdetect.Module{Name: n.module}}}
}

func TestParseSubject(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]plan.Subject{
		"0000:00:00.0":  {BySlot: true},
		"10000:e1:1f.7": {BySlot: true, Device: hwdetect.Device{Slot: hwdetect.Slot{Domain: 0x10000, Bus: 0xe1, Device: 0x1f, Function: 7}}},
		"1af4:1041":     {Device: hwdetect.Device{Vendor: 0x1af4, Product: 0x1041, Modalias: "pci:v00001AF4d00001041sv*sd*bc*sc*i*"}},
		lpc: {Device: hwdetect.Device{
			Vendor: 0x8086, Product: 0x2918, SubVendor: 0x1af4, SubProduct: 0x1100, Class: 0x060100, Modalias: lpc,
		}},
	} {
		if got, err := plan.ParseSubject(what); err != nil || got != want {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	for _, what := range []string{
		"", " ", "8086", "8086:", ":10c9", "8086:10c9:", "8086:10c", "08086:10c9", "+086:10c9", "808_:10c9", "00:1f.0", "0000:00:1F.0",
		"pci:", "pci:v*", "pci:v00008086d000010C9sv*sd*bc*sc*i*", lpc + "*", strings.ToLower(lpc), "usb:v0BDAp8153", "igb", "\x00", "\xff",
		strings.Repeat("8086:10c9", 1000),
	} {
		if got, err := plan.ParseSubject(what); err == nil || len(err.Error()) > 500 {
			t.Errorf("%.40q: %+v, %v", what, got, err)
		}
	}
}

// The chipset's rule holds for what is asked without a slot as well.
func TestExplainTheChipset(t *testing.T) {
	t.Parallel()
	subject, err := plan.ParseSubject(lpc)
	if err != nil {
		t.Fatal(err)
	}
	got := plan.Explain(subject.Device, plan.Facts{Kernel: kernel{}, Catalog: catalog()})
	if got.Want.Reason != reason.Policy || len(got.Packages) != 1 || got.Packages[0].Group != "hardware" {
		t.Errorf("%+v", got)
	}
}
