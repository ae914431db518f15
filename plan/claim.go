// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
)

// Claim is an alias that matches a device, as one source says.
type Claim struct {
	Alias   string
	Source  hwdetect.Source
	Module  string // empty if unknown: modalias() does not name it
	Package string // NEVRA, empty if unknown
}

// Tried is what has had its chance to drive a device in this stay of it, and has not
// bound. Such a claim gives way to the next.
type Tried struct {
	BuiltIn bool     // the drivers in the kernel's image: the device was there for long enough
	Modules []string // that were loaded for it, together, from the disk as it is now
	Silent  bool     // the kernel's log holds no word of a driver about why
}

// candidate is a claim that something can be done about.
type candidate struct {
	hwdetect.Claim
	holder *Holder // of the module, nil if unknown
}

func (c candidate) specificity() modalias.Specificity { return modalias.SpecificityOf(c.Alias) }

// onGuest says whether there is a driver without a package.
func (c candidate) onGuest() bool {
	return c.Source == hwdetect.BuiltIn || c.Source == hwdetect.Installed
}

// sources are the sources in the order in which they are asked.
var sources = []hwdetect.Source{hwdetect.BuiltIn, hwdetect.Installed, hwdetect.Shipped, hwdetect.InCatalog, hwdetect.InIndex}

// compare orders claims, the best first: what names the device before what names its
// vendor or its class, then by source, then the smaller package.
func (c candidate) compare(other candidate) int {
	return cmp.Or(
		cmp.Compare(other.specificity(), c.specificity()),
		cmp.Compare(slices.Index(sources, c.Source), slices.Index(sources, other.Source)),
		cmp.Compare(c.size(), other.size()))
}

// size ranks the package of a claim by its group: the later the larger.
func (c candidate) size() int {
	if c.holder == nil {
		return 0
	}
	return slices.Index(kernelbuild.Groups(), c.holder.Group)
}

// best returns the best of claims, of equal ones the first; not ok if there is none.
func best(claims []candidate) (c candidate, ok bool) {
	for i, other := range claims {
		if i == 0 || other.compare(c) < 0 {
			c = other
		}
	}
	return c, len(claims) > 0
}

// onGuest returns the claims of drivers that are here.
func (f Facts) onGuest(device string) []candidate {
	var all []candidate
	for _, source := range []hwdetect.Source{hwdetect.BuiltIn, hwdetect.Installed} {
		for _, c := range f.Kernel.Claims(source, device) {
			all = append(all, candidate{Claim: c})
		}
	}
	return all
}

// indexes are the indexes of what need not be on the guest. That of other kernels is
// read when it is first asked.
var (
	allIndexes = []hwdetect.Source{hwdetect.Shipped, hwdetect.InIndex}
	ofBuild    = allIndexes[:1]
)

// indexed returns what indexes claim a device by. Of other kernels' modules only those
// count that this one has, as far as its packages say which these are.
func (f Facts) indexed(device string, indexes []hwdetect.Source) []candidate {
	var all []candidate
	for _, source := range indexes {
		for _, c := range f.Kernel.Claims(source, device) {
			holder := f.Catalog.holderOf(c.Module.Name)
			if source == hwdetect.Shipped || holder != nil || !f.Catalog.namesModules() {
				all = append(all, candidate{c, holder})
			}
		}
	}
	return all
}

// elsewhere returns the claims on a device of modules that are not here, given those of
// drivers that are: these are known to their packages and to the indexes as well.
func (f Facts) elsewhere(device string, onGuest []candidate, indexes []hwdetect.Source) []candidate {
	var all []candidate
	for _, c := range f.indexed(device, indexes) {
		if !slices.ContainsFunc(onGuest, func(here candidate) bool { return here.Module.Name == c.Module.Name }) {
			all = append(all, c)
		}
	}
	for _, c := range f.Catalog.claims(device) {
		// By the same alias, and in no other package: it is the same module.
		if !slices.ContainsFunc(onGuest, func(here candidate) bool {
			holder := f.Catalog.holderOf(here.Module.Name)
			return here.Alias == c.Alias && (holder == nil || holder.NEVRA == c.holder.NEVRA)
		}) {
			all = append(all, c)
		}
	}
	return all
}

// leads says whether a claim leads to a driver: one that is here, or in a known package.
// What a package says of itself counts for more than what other kernels do.
func (f Facts) leads(c candidate) bool {
	return c.onGuest() || c.holder != nil && (c.Source != hwdetect.InIndex || !f.Catalog.speaking[c.holder.NEVRA])
}

// divide tells the claims of drivers that are here by whether they have had their
// chance. modprobe loads all installed modules that claim a device, so these fail
// together.
func (t Tried) divide(onGuest []candidate) (untried, tried []candidate) {
	installed := !slices.ContainsFunc(onGuest, func(c candidate) bool {
		return c.Source == hwdetect.Installed && !slices.Contains(t.Modules, c.Module.Name)
	})
	for _, c := range onGuest {
		if c.Source == hwdetect.BuiltIn && t.BuiltIn || c.Source == hwdetect.Installed && installed {
			tried = append(tried, c)
		} else {
			untried = append(untried, c)
		}
	}
	return untried, tried
}

// modules returns the names of the modules of claims that are wanted, each once.
func modules(all []candidate, wanted func(candidate) bool) []string {
	var names []string
	for _, c := range all {
		if name := c.Module.Name; wanted(c) && name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// relevant returns the claims on a device that matter. If only vendor and product are
// known of it, a claim that asks for a class matters only where no other is as specific.
func relevant(device string, all []candidate) []candidate {
	if !modalias.IsAny(device) || len(all) == 0 {
		return all
	}
	rank := func(c candidate) modalias.Specificity {
		if modalias.Match(c.Alias, device) {
			return modalias.OfProduct
		}
		return c.specificity()
	}
	most := rank(slices.MaxFunc(all, func(a, b candidate) int { return cmp.Compare(rank(a), rank(b)) }))
	return slices.DeleteFunc(slices.Clone(all), func(c candidate) bool { return rank(c) < most })
}

// maxTries is how many drivers are named that a class decides between.
const maxTries = 6

// ambiguous returns the drivers between which the class of a device decides of which
// only vendor and product are known; empty if these say enough. They do if a claim
// names the product, or asks for no class, or if one package has all that is claimed.
func ambiguous(device string, relevant []candidate) string {
	if !modalias.IsAny(device) {
		return ""
	}
	var places, tries []string
	for _, c := range relevant {
		if c.specificity() == modalias.OfProduct || modalias.Match(c.Alias, device) {
			return ""
		}
		place := c.Module.Name
		switch {
		case c.onGuest():
			place = "this guest"
		case c.holder != nil:
			place = c.holder.NEVRA
		}
		if !slices.Contains(places, place) {
			places = append(places, place)
		}
		if c.Module.Name == "" && slices.ContainsFunc(relevant, func(other candidate) bool { return other.Alias == c.Alias && other.Module.Name != "" }) {
			continue // an index names it
		}
		try := cmp.Or(c.Module.Name, place)
		if class := modalias.Class(c.Alias); class != "" {
			try += " for class " + class
		}
		if !slices.Contains(tries, try) {
			tries = append(tries, try)
		}
	}
	if len(places) < 2 && !slices.ContainsFunc(relevant, func(c candidate) bool { return c.specificity() == modalias.OfClass }) {
		return ""
	}
	if more := len(tries) - maxTries; more > 0 {
		tries = append(tries[:maxTries], fmt.Sprintf("and %d others", more))
	}
	return strings.Join(tries, ", ")
}
