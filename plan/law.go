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
	return slices.DeleteFunc(slices.Clone(p.Kernel.Installed(modalias)), func(module string) bool { return p.law.Denial(modalias, module) != "" })
}

func (p permitted) Claims(source hwdetect.Source, modalias string) []hwdetect.Claim {
	claims := p.Kernel.Claims(source, modalias)
	if source == hwdetect.BuiltIn {
		return claims
	}
	return slices.DeleteFunc(slices.Clone(claims), func(c hwdetect.Claim) bool { return p.law.Denial(modalias, c.Module.Name) != "" })
}

// forbidden decides about a device none of whose modules may be loaded: nothing is
// installed for it.
func (f Facts) forbidden(d hwdetect.Device) (Want, bool) {
	if len(f.Kernel.Claims(hwdetect.BuiltIn, d.Modalias)) > 0 {
		return Want{}, false
	}
	denied, why := f.Kernel.Installed(d.Modalias), []string{}
	all := func() bool {
		for _, module := range denied {
			denial := f.Law.Denial(d.Modalias, module)
			if denial == "" {
				return false
			}
			if !slices.Contains(why, denial) {
				why = append(why, denial)
			}
		}
		return true
	}
	if !all() {
		return Want{}, false // before an index is read
	}
	every := func(candidate) bool { return true }
	for _, module := range modules(f.indexed(d.Modalias, allIndexes), every) {
		if !slices.Contains(denied, module) {
			denied = append(slices.Clip(denied), module)
		}
	}
	if !all() || len(denied) == 0 || f.claimedByOthers(d, denied) {
		return Want{}, false
	}
	want := stop(reason.Blacklisted, "%s must not be loaded: %s; remove that, then run: driverd rescan",
		strings.Join(denied, ", "), strings.Join(why, " and "))
	want.Modules = denied
	return f.describe(d, want), true
}

// claimedByOthers says whether a package claims the device that holds none of its known modules.
func (f Facts) claimedByOthers(d hwdetect.Device, modules []string) bool {
	known := f.Catalog.holders(modules)
	return slices.ContainsFunc(f.Catalog.claims(d.Modalias), func(c candidate) bool {
		return !slices.ContainsFunc(known, func(other Holder) bool { return other.NEVRA == c.holder.NEVRA })
	})
}
