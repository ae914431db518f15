// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"maps"
	"slices"
	"testing"

	"driverd/daemon/install"
	"driverd/dnfbridge"
)

// Whoever has taken the service over asks for parts of a vendor's driver that root has
// enabled. What may come along comes along with the modules, or not at all.
func TestRequestOfVendor(t *testing.T) {
	t.Parallel()
	const kmod, tool, lib, old = "kmod-card-2-1.x86_64", "card-tool-2-1.x86_64", "card-lib-2-1.x86_64", "card-lib-1-1.x86_64"
	listing := func(installed bool) dnfbridge.VendorListing {
		return dnfbridge.VendorListing{
			Packages: []dnfbridge.Package{{NEVRA: kmod, Installed: installed}, {NEVRA: tool}},
			Allowed:  map[string][]string{kmod: {"maker"}, tool: {"maker"}, lib: {"maker"}},
		}
	}
	for name, c := range map[string]struct {
		install, allowed []string
		listing          dnfbridge.VendorListing
		want             []string // that may come
	}{
		"all of it":                        {[]string{kmod, tool}, []string{lib}, listing(false), []string{lib, tool, kmod}},
		"as the service writes it":         {[]string{kmod, tool}, []string{kmod, tool, lib}, listing(false), []string{lib, tool, kmod}},
		"what may come along alone":        {[]string{lib}, nil, listing(false), nil},
		"it alone, beside installed ones":  {[]string{lib}, []string{lib}, listing(true), nil},
		"it wanted beside the modules":     {[]string{kmod, lib}, []string{lib}, listing(false), []string{kmod}},
		"it along with the kernel's":       {[]string{sriov}, []string{lib, kmod}, listing(false), nil},
		"it in another version":            {[]string{kmod, old}, []string{old}, listing(false), []string{kmod}},
		"a companion without modules":      {[]string{tool}, []string{lib}, listing(false), nil},
		"a companion of installed modules": {[]string{tool}, []string{lib}, listing(true), []string{lib, tool}},
		"no modules for the kernel":        {[]string{kmod}, []string{lib}, dnfbridge.VendorListing{Allowed: map[string][]string{lib: {"maker"}}}, nil},
	} {
		r := install.Request{Install: c.install, Allowed: c.allowed}
		got := install.OfListing(r, slices.Concat(c.install, c.allowed), c.listing)
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, c.want) {
			t.Errorf("%s: %q may come, want %q", name, names, c.want)
		}
	}
	r := install.Request{Install: []string{kmod}, Allowed: []string{lib}}
	if got := install.OfListing(r, []string{kmod}, listing(false)); len(got) != 1 {
		t.Errorf("%v may come, of which only the modules are said to be of no kernel", got)
	}
}
