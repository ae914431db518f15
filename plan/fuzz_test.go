// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"slices"
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/plan"
)

// FuzzProvides lets a repository offer a package that provides whatever it
// likes: it is wanted for a device only by a pattern for PCI devices that
// matches, and it hides no other package that claims the device as well as it does.
func FuzzProvides(f *testing.F) {
	f.Add("modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*) = 5.6.0-k\nkmod(igb.ko)")
	f.Add("modalias(*)\nmodalias(pci:*)\nmodalias(pci:v*)\nkmod(*)")
	f.Add("modalias(pci:v[!0]*)\nmodalias(pci:v0000[8)\nmodalias(pci:v\nkmod(\nkmod(.ko)\nkmod()")
	f.Add("kernel-modules-core-uname-r = " + release + "\nkernel-modules-uname-r = \xff\nmodalias(pci:v\x00)")
	f.Add("modalias(pci:v" + strings.Repeat("*?", 3000) + ")")
	device := hwdetect.Device{Slot: hwdetect.Slot{Bus: 1}, Modalias: igb, Vendor: 0x8086, Product: 0x10c9}
	f.Fuzz(func(t *testing.T, text string) {
		const hostile = "hostile-1-1.x86_64"
		provides := strings.Split(text, "\n")
		facts := plan.Facts{Release: release, Kernel: kernel{}, Catalog: plan.NewCatalog([]plan.Package{
			{NEVRA: hostile, Repo: "lab", Provides: slices.Clone(provides)},
			{NEVRA: sriov, Repo: "lab", Provides: []string{
				uname("kernel-modules-sriov"), "modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*)",
			}},
		})}
		d := plan.Decide(device, facts)
		claims := slices.ContainsFunc(provides, func(capability string) bool {
			pattern, ok := strings.CutPrefix(capability, "modalias(")
			pattern, _, closed := strings.Cut(pattern, ")")
			return ok && closed && strings.HasPrefix(pattern, "pci:v") && modalias.Match(pattern, igb)
		})
		if d.Action != plan.Install || len(d.Packages) != 1 || d.Packages[0] != sriov && (d.Packages[0] != hostile || !claims) {
			t.Errorf("it claims the device: %t, and what is wanted is %+v", claims, d)
		}
	})
}

// FuzzSelector reads what a client of the bus may send: it is turned down with a
// short answer, or comes to packages of the catalog and devices that are here.
func FuzzSelector(f *testing.F) {
	for _, text := range []string{
		"0000:01:00.0", "10000:e1:00.7", igb, "pci:v*", "8086:10c9", "sriov", "base", "kmod(igb.ko)", "kmod(snd-hda-intel.ko)",
		"kmod(../igb.ko)", "kmod(*.ko)", "kmod(igb.ko) = 1", "\x00", "\xff\xfe", "8086:", strings.Repeat("(", 5000),
	} {
		f.Add(text)
	}
	here := hwdetect.Slot{Bus: 1}
	devices := []hwdetect.Device{{Slot: here, Modalias: igb, Vendor: 0x8086, Product: 0x10c9}}
	facts := plan.Facts{Release: release, Kernel: kernel{}, Catalog: catalog()}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := plan.ParseSelector(text)
		if err != nil {
			if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\x00\n\x1b") {
				t.Errorf("the answer is %q", err)
			}
			return
		}
		if s.String() != text {
			t.Errorf("%q became %q", text, s)
		}
		selection, ok := s.Select(devices, facts)
		for _, nevra := range selection.Want.Packages {
			if !slices.Contains(facts.Catalog.NEVRAs(), nevra) {
				t.Errorf("%q comes to %s, which nobody offers", text, nevra)
			}
		}
		for _, slot := range selection.Slots {
			if slot != here {
				t.Errorf("%q comes to %s, where nothing is", text, slot)
			}
		}
		if ok && len(selection.Want.Packages) == 0 && selection.Want.Message == "" {
			t.Errorf("%q comes to nothing, and nobody says why", text)
		}
	})
}
