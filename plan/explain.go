// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
)

// Explanation is a decision with what it rests on.
type Explanation struct {
	Want     Want
	Claims   []Claim      // everything that claims the device, whatever the decision
	Packages []Holder     // that the claims name
	Firmware []string     // files that the modules of the build which claim it may ask for
	Vendors  []VendorNote // drivers from outside the kernel's build that are for the device
	Rule     *Rule        // of the policy that matches, whether there is something to do or not; nil if none does
}

// Explain says what is known about the driver of a device. Unlike Decide,
// it does not stop at the first answer.
func Explain(d hwdetect.Device, f Facts) Explanation {
	x := Explanation{Want: Decide(d, f)}
	x.Rule = f.rule(d, x.Want)
	if d.Modalias == "" {
		return x
	}
	x.Vendors = f.vendorNotes(d)
	onGuest, indexes := f.onGuest(d.Modalias), allIndexes
	if c, ok := best(onGuest); ok && c.specificity() == modalias.OfProduct {
		indexes = ofBuild // other kernels have nothing to add
	}
	indexed := slices.DeleteFunc(f.elsewhere(d.Modalias, onGuest, indexes), func(c candidate) bool { return c.Source == hwdetect.InCatalog })
	indexed, packaged := nameModules(indexed, f.Catalog.claims(d.Modalias))
	for _, c := range relevant(d.Modalias, slices.Concat(onGuest, indexed, packaged)) {
		claim := Claim{Alias: c.Alias, Source: c.Source, Module: c.Module.Name}
		if c.holder == nil {
			c.holder = f.Catalog.holderOf(c.Module.Name)
		}
		if c.holder != nil {
			claim.Package = c.holder.NEVRA
			x.add(*c.holder, c.Source == hwdetect.Installed)
		}
		x.Claims = append(x.Claims, claim)
	}
	x.Firmware = firmware(f.indexed(d.Modalias, indexes), func(candidate) bool { return true })
	return x
}

// nameModules gives the claims of packages the names of modules that driverd's index
// knows by the same aliases, and takes these out of it.
func nameModules(indexed, packaged []candidate) (rest, named []candidate) {
	for _, p := range packaged {
		i := slices.IndexFunc(indexed, func(c candidate) bool {
			return c.Source == hwdetect.InIndex && c.Alias == p.Alias && (c.holder == nil || c.holder.NEVRA == p.holder.NEVRA)
		})
		if i >= 0 {
			p.Module = indexed[i].Module
			indexed = slices.Delete(indexed, i, i+1)
		}
		named = append(named, p)
	}
	return indexed, named
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
