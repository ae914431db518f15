// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"maps"
	"slices"

	"driverd/daemon"
	"driverd/dnfbridge"
	"driverd/plan"
)

// choice is what the selectors come to.
type choice struct {
	missing  []string            // packages
	files    []string            // of firmware
	packages []dnfbridge.Package // of vendors' drivers
	others   map[string][]string // that may come for these, with their repositories
	result   Result
}

// add adds what a selector comes to. What there is of a vendor's driver is found out when a
// device is named that one is for, and root has enabled it in the image.
func (c *choice) add(ctx context.Context, i *Image, dnf dnfbridge.Command, facts *plan.Facts, s plan.Selector) {
	selection, ok := s.Select(nil, *facts)
	if n := slices.IndexFunc(facts.Vendors, func(v plan.Vendor) bool { return v.Name == selection.Want.Vendor }); selection.Want.Action == plan.Learn && n >= 0 {
		l, err := daemon.FindVendor(ctx, dnf, facts.Release, facts.Vendors[n])
		facts.Offers[facts.Vendors[n].Name] = daemon.OfferOf(l, err)
		maps.Copy(c.others, l.Allowed)
		c.packages = append(c.packages, l.Packages...)
		selection, _ = s.Select(nil, *facts)
	}
	switch w := selection.Want; {
	case !ok:
		c.result = max(c.result, Misused)
		_ = i.Say("%s: an image has no slots", s)
	case selection.Firmware != "":
		c.files = append(c.files, selection.Firmware)
	case w.Action == plan.Install:
		c.missing = append(c.missing, w.Packages...)
	case w.Message != "":
		c.result = max(c.result, NotKnown)
		_ = i.Say("%s: %s", s, w.Message)
	}
}

// remembering knows what was found with it.
type remembering struct {
	daemon.Finder
	found []dnfbridge.Package
}

func (r *remembering) Find(ctx context.Context, what []string, fresh bool) ([]dnfbridge.Package, error) {
	found, err := r.Finder.Find(ctx, what, fresh)
	r.found = append(r.found, found...)
	return found, err
}
