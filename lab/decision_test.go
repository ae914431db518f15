// SPDX-License-Identifier: Apache-2.0

//go:build lab

package lab_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
	kernel "driverd/kernelsplit"
	"driverd/plan"
)

// Each device that a driver claims is decided for by one group, the smallest of those
// whose drivers know it best.
func TestOneGroupForEachDevice(t *testing.T) {
	eachKernel(t, func(t *testing.T, _ *kernel.Tree, split *kernel.Split) {
		facts := plan.Facts{Kernel: new(kmod.Index), Catalog: catalogOf(split)}
		devices := make(map[string]bool)
		for _, p := range split.Placements {
			for _, alias := range p.Aliases {
				if strings.HasPrefix(alias, "pci:v") {
					devices[matching(alias)] = true
				}
			}
		}
		for _, device := range slices.Sorted(maps.Keys(devices)) {
			x := plan.Explain(hwdetect.Device{Modalias: device}, facts)
			best, want := modalias.OfClass, ""
			for _, c := range x.Claims {
				names := modalias.SpecificityOf(c.Alias)
				smaller := slices.Index(kernelbuild.Groups(), c.Package) < slices.Index(kernelbuild.Groups(), want)
				if want == "" || names > best || names == best && smaller {
					best, want = names, c.Package
				}
			}
			if got := x.Want; got.Action != plan.Install || !slices.Equal(got.Packages, []string{want}) {
				t.Errorf("%s: %s %v, want %s", device, got.Action, got.Packages, want)
			}
		}
		t.Logf("%d devices", len(devices))
	})
}

// catalogOf is what the packages of a split kernel say, each called as its group.
func catalogOf(split *kernel.Split) *plan.Catalog {
	provides := make(map[string][]string)
	for _, p := range split.Placements {
		for _, alias := range p.Aliases {
			provides[string(p.Group)] = append(provides[string(p.Group)], "modalias("+alias+")")
		}
	}
	var packages []plan.Package
	for _, group := range kernelbuild.Groups() {
		capability := "kernel-" + kernelbuild.Subpackage(group) + "-uname-r = " + split.Release
		packages = append(packages, plan.Package{NEVRA: group, Repo: "lab", Provides: append(provides[group], capability)})
	}
	return plan.NewCatalog(packages)
}

// matching is a device that an alias matches: it has the first of each set of digits, and
// zeros where any will do.
func matching(alias string) string {
	var device strings.Builder
	digits := map[string]int{"v": 8, "d": 8, "sv": 8, "sd": 8, "bc": 2, "sc": 2, "i": 2}
	rest := strings.TrimPrefix(alias, "pci:")
	device.WriteString("pci:")
	for _, key := range []string{"v", "d", "sv", "sd", "bc", "sc", "i"} {
		rest = strings.TrimPrefix(rest, key)
		device.WriteString(key)
		for n := 0; n < digits[key]; n++ {
			switch {
			case rest == "" || rest[0] == '*':
				device.WriteByte('0')
			case rest[0] == '[':
				device.WriteByte(rest[1])
				_, rest, _ = strings.Cut(rest, "]")
			default:
				device.WriteByte(rest[0])
				rest = rest[1:]
			}
		}
		rest = strings.TrimPrefix(rest, "*")
	}
	return device.String()
}
