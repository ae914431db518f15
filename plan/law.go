// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/reason"
)

// Law says which modules may not be loaded: modprobe.d(5), and the kernel's command line.
type Law interface {
	// Denial says what forbids to load a module for the device with this modalias, and where
	// that is written; it is empty if nothing does.
	Denial(modalias, module string) string
}

// permitted is a kernel without the modules that may not be loaded.
type permitted struct {
	Kernel
	law Law
}

func (p permitted) Installed(modalias string) []string {
	return slices.DeleteFunc(slices.Clone(p.Kernel.Installed(modalias)), func(module string) bool { return p.forbids(modalias, module) })
}

func (p permitted) Shipped(modalias string) []hwdetect.Module {
	return slices.DeleteFunc(slices.Clone(p.Kernel.Shipped(modalias)), func(m hwdetect.Module) bool { return p.forbids(modalias, m.Name) })
}

func (p permitted) forbids(modalias, module string) bool {
	return p.law.Denial(modalias, module) != ""
}

// forbidden decides about a device none of whose modules may be loaded: nothing is
// installed for it.
func (f Facts) forbidden(d hwdetect.Device) (Want, bool) {
	if len(f.Kernel.BuiltIn(d.Modalias)) > 0 {
		return Want{}, false
	}
	modules := slices.Clone(f.Kernel.Installed(d.Modalias))
	for _, m := range f.Kernel.Shipped(d.Modalias) {
		if !slices.Contains(modules, m.Name) {
			modules = append(modules, m.Name)
		}
	}
	var why []string
	for _, module := range modules {
		denial := f.Law.Denial(d.Modalias, module)
		if denial == "" {
			return Want{}, false
		}
		if !slices.Contains(why, denial) {
			why = append(why, denial)
		}
	}
	if len(why) == 0 || f.claimedByOthers(d, modules) {
		return Want{}, false
	}
	want := stop(reason.Blacklisted, "%s must not be loaded: %s; to have this device driven, remove that, and run driverd rescan",
		strings.Join(modules, ", "), strings.Join(why, " and "))
	want.Modules = modules
	return f.describe(d, want), true
}

// claimedByOthers says whether a package claims the device that holds none of its known modules.
func (f Facts) claimedByOthers(d hwdetect.Device, modules []string) bool {
	if f.Catalog == nil {
		return false
	}
	known := f.Catalog.holders(modules)
	return slices.ContainsFunc(f.Catalog.match(d.Modalias), func(p Holder) bool {
		return !slices.ContainsFunc(known, func(other Holder) bool { return other.NEVRA == p.NEVRA })
	})
}
