// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Vendor names the packages of a driver from outside the kernel's build. A * at the end of
// a name stands for the rest.
type Vendor struct {
	Kmods      []string // packages with the modules, or the modalias() capability of those
	Companions []string // that are installed with them
	Depends    []string // that may come along
	Build      bool     // packages that compile the modules will do
}

// VendorListing is what there is of a vendor's driver for one kernel.
type VendorListing struct {
	// Packages are the one with modules for the kernel, and its companions: of the same
	// version, if there are such, else the installed, else the newest. The modules are the
	// installed ones, else those of the version of an installed companion, else the newest.
	// There are none without modules.
	Packages []Package
	// Allowed are the NEVRAs of all that may come: Packages, and of what may come along that
	// of the version of the modules, else the newest of each name. With them are the ids of
	// the repositories that they may come from, which are for the guard and may hold
	// credentials.
	Allowed map[string][]string
	// Refused say which packages with modules are not for the kernel, and why.
	Refused []string
}

// VendorPackages finds the packages of a vendor's driver that are made for the kernel with
// the given release. What comes from a repository whose signatures dnf does not check is not
// among them. What comes with the modules has their repository or their RPM vendor; a name
// without a * may also have the kernel's vendor. With fresh, the metadata is renewed first.
// The errors are those of KernelPackages.
func (d *DNF5) VendorPackages(ctx context.Context, release string, v Vendor, fresh bool) (VendorListing, error) {
	track := newTracker(nil)
	s, err := d.open(ctx, track, map[string]any{}, fresh)
	if err != nil {
		return VendorListing{}, err
	}
	defer s.close()
	found, err := s.vendorPackages(ctx, v)
	if err != nil {
		return VendorListing{}, fmt.Errorf("cannot look for %s: %w", strings.Join(v.Kmods, ", "), track.explain(err))
	}
	l, err := vendorListing(found, release, v, newKernelFacts(ctx, release, s, d.fileLists))
	if err != nil {
		return VendorListing{}, err
	}
	return l, track.unreachable()
}

// offeredPackage is a package as a repository offers it, or as it is installed.
type offeredPackage struct {
	Package
	build
	requires []string
	checked  bool // dnf checks signatures of its repository
}

// vendorPackages lists what has one of the names.
func (s *session) vendorPackages(ctx context.Context, v Vendor) ([]offeredPackage, error) {
	checked, err := s.checkedRepos(ctx)
	if err != nil {
		return nil, err
	}
	attrs := append([]string{"name", "download_size", "install_size", "requires"}, buildAttrs...)
	names, capabilities := v.names()
	var found []map[string]dbus.Variant
	for _, options := range []map[string]any{
		{"patterns": names, "icase": false, "with_provides": false, "with_filenames": false, "with_binaries": false, "with_src": false},
		{"whatprovides": capabilities},
	} {
		if len(names) == 0 && options["patterns"] != nil || len(capabilities) == 0 && options["whatprovides"] != nil {
			continue
		}
		options["package_attrs"] = attrs
		more, err := s.list(ctx, options)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return offeredPackages(found, checked)
}

// names are the names of all packages of a vendor's driver, and the capabilities that some
// are named by.
func (v Vendor) names() (names, capabilities []string) {
	for _, name := range slices.Concat(v.Kmods, v.Companions, v.Depends) {
		if strings.HasPrefix(name, "modalias(") {
			capabilities = append(capabilities, name)
		} else {
			names = append(names, name)
		}
	}
	return names, capabilities
}

// offeredPackages are the packages of an answer; dnf checks signatures of the repositories
// that are checked.
func offeredPackages(found []map[string]dbus.Variant, checked map[string]bool) ([]offeredPackage, error) {
	var all []offeredPackage
	for _, of := range found {
		p, err := packagesOf([]map[string]dbus.Variant{of})
		if err != nil {
			return nil, err
		}
		o := offeredPackage{Package: p[0], build: buildOfAttrs(of)}
		o.requires, _ = of["requires"].Value().([]string)
		o.checked = o.Installed || checked[o.RepoID]
		all = append(all, o)
	}
	return all, nil
}

// checkedRepos are the repositories the signatures of whose packages dnf checks.
func (s *session) checkedRepos(ctx context.Context) (map[string]bool, error) {
	var repos []map[string]dbus.Variant
	if err := s.call(ctx, listRepos, []any{variants(map[string]any{"repo_attrs": []string{"id", "gpgcheck"}})}, &repos); err != nil {
		return nil, err
	}
	checked := make(map[string]bool)
	for _, r := range repos {
		id, _ := r["id"].Value().(string)
		checked[id], _ = r["gpgcheck"].Value().(bool)
	}
	return checked, nil
}

// matches says whether a name is what a pattern stands for.
func matches(pattern, name string) bool {
	if plain, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, plain)
	}
	ok, err := path.Match(pattern, name) // of a modalias() capability
	return pattern == name || strings.HasPrefix(pattern, "modalias(") && err == nil && ok
}

func capabilityName(capability string) string {
	name, _, _ := strings.Cut(capability, " ")
	return name
}

// isOfKernel says whether a package is, or says that it is, one of a kernel's own.
func isOfKernel(p offeredPackage) bool {
	return strings.HasPrefix(p.Name, "kernel") || slices.ContainsFunc(p.Provides, func(c string) bool {
		return strings.HasSuffix(capabilityName(c), unameSuffix) || capabilityName(c) == "kernel" || c == "installonlypkg(kernel)"
	})
}
