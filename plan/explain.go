// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"driverd/hwdetect"
)

// Source is where it is written which devices a module drives.
type Source string

// The sources: what is on this guest, then what the repositories say.
const (
	BuiltIn   Source = "built-in"  // of a module in the kernel's image
	Installed Source = "installed" // of a module that is a file on this guest
	Shipped   Source = "shipped"   // of another one of the build, by the index that came with the kernel
	InCatalog Source = "catalog"   // of one in a package of the kernel's build
)

// Claim is one alias that matches a device.
type Claim struct {
	Alias   string
	Source  Source
	Module  string // empty for the catalog: modalias() does not name it
	Package string // NEVRA, empty if unknown
}

// Explanation is a decision with what it rests on.
type Explanation struct {
	Want     Want
	Claims   []Claim  // everything that claims the device, whatever the decision
	Packages []Holder // that the claims name
	Firmware []string // files that the modules of the build which claim it may ask for
	Rule     *Rule    // of the policy that matches, whether there is something to do or not; nil if none does
}

// Explain says what is known about the driver of a device. Unlike Decide,
// it does not stop at the first answer.
func Explain(d hwdetect.Device, f Facts) Explanation {
	x := Explanation{Want: Decide(d, f)}
	x.Rule = f.rule(d, x.Want)
	if d.Modalias == "" {
		return x
	}
	for _, m := range f.Kernel.Shipped(d.Modalias) {
		x.Firmware = append(x.Firmware, m.Firmware...)
	}
	for _, c := range f.Kernel.Claims(d.Modalias) {
		claim := Claim{Alias: c.Alias, Source: Installed, Module: c.Module}
		switch {
		case c.BuiltIn:
			claim.Source = BuiltIn
		case c.Shipped:
			claim.Source = Shipped
		}
		if f.Catalog != nil {
			for _, p := range f.Catalog.holders([]string{c.Module}) {
				claim.Package = p.NEVRA
				x.add(p, claim.Source == Installed)
			}
		}
		x.Claims = append(x.Claims, claim)
	}
	if f.Catalog != nil {
		for _, c := range f.Catalog.aliases.Claims(d.Modalias) {
			p := f.Catalog.packages[c.Value]
			x.Claims = append(x.Claims, Claim{Alias: c.Pattern, Source: InCatalog, Package: p.NEVRA})
			x.add(p, false)
		}
	}
	return x
}

// add notes a package once. One whose module is on this guest is installed,
// whatever the catalog says: that is older.
func (x *Explanation) add(p Holder, onGuest bool) {
	i := slices.IndexFunc(x.Packages, func(known Holder) bool { return known.NEVRA == p.NEVRA })
	if i < 0 {
		i = len(x.Packages)
		x.Packages = append(x.Packages, p)
	}
	x.Packages[i].Installed = x.Packages[i].Installed || onGuest
}
