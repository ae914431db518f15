// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
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
	// Packages are the newest one with modules for the kernel, and its companions: of the
	// same version, if there are such, else the newest. There are none without modules.
	Packages []Package
	// Allowed are the NEVRAs of all that may come, with the repositories that it may come from.
	Allowed map[string][]string
	// Refused say which packages with modules are not for the kernel, and why.
	Refused []string
}

// VendorPackages finds the packages of a vendor's driver that are made for the kernel with
// the given release. What comes from a repository whose signatures dnf does not check is not
// among them. With fresh, the metadata is renewed first. The errors are those of KernelPackages.
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
	symbols := func() (map[string]bool, error) { return s.symbols(ctx, release) }
	files := func(nevra string) ([]string, error) {
		lists, err := d.fileLists(ctx, []string{nevra})
		return lists[nevra], err
	}
	l, err := vendorListing(found, release, v, symbols, files)
	if err != nil {
		return VendorListing{}, err
	}
	return l, track.unreachable()
}

// offeredPackage is a package as a repository offers it, or as it is installed.
type offeredPackage struct {
	Package
	version, release string
	requires         []string
	checked          bool // dnf checks signatures of its repository
}

// vendorPackages lists what has one of the names.
func (s *session) vendorPackages(ctx context.Context, v Vendor) ([]offeredPackage, error) {
	checked, err := s.checkedRepos(ctx)
	if err != nil {
		return nil, err
	}
	attrs := append([]string{"name", "download_size", "install_size", "requires"}, buildAttrs...)
	var names, capabilities []string
	for _, name := range slices.Concat(v.Kmods, v.Companions, v.Depends) {
		if strings.HasPrefix(name, "modalias(") {
			capabilities = append(capabilities, name)
		} else {
			names = append(names, name)
		}
	}
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
	var all []offeredPackage
	for _, of := range found {
		p, err := packagesOf([]map[string]dbus.Variant{of})
		if err != nil {
			return nil, err
		}
		o := offeredPackage{Package: p[0]}
		o.version, _ = of["version"].Value().(string)
		o.release, _ = of["release"].Value().(string)
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

// symbols are the symbols, with their checksums, that the installed packages of a kernel
// say that it exports.
func (s *session) symbols(ctx context.Context, release string) (map[string]bool, error) {
	of, err := s.buildOf(ctx, release)
	if err != nil {
		return nil, err
	}
	version := unameVersion(release)
	found, err := s.list(ctx, map[string]any{
		"scope": "installed", "package_attrs": buildAttrs, "whatprovides": []string{"*" + unameSuffix + " = " + version},
	})
	if err != nil {
		return nil, s.track.explain(err)
	}
	symbols := make(map[string]bool)
	for _, m := range members(found, version) {
		for _, capability := range m.provides {
			if m.build == of && isSymbol(capability) {
				symbols[capability] = true
			}
		}
	}
	return symbols, nil
}

// vendorListing sorts what was found.
func vendorListing(found []offeredPackage, release string, v Vendor, symbols func() (map[string]bool, error), files func(nevra string) ([]string, error)) (VendorListing, error) {
	l := VendorListing{Allowed: make(map[string][]string)}
	var kmods, others []offeredPackage
	refuse := func(p offeredPackage, why string) {
		if text := redact.Text(p.NEVRA + " " + why); !slices.Contains(l.Refused, text) {
			l.Refused = append(l.Refused, text)
		}
	}
	for _, p := range found {
		isKmod := slices.ContainsFunc(v.Kmods, func(name string) bool {
			return matches(name, p.Name) || strings.HasPrefix(name, "modalias(") && slices.ContainsFunc(p.Provides, func(c string) bool { return matches(name, capabilityName(c)) })
		})
		switch {
		case isOfKernel(p):
			continue // which is no vendor's
		case !p.checked:
			refuse(p, "is in repository "+p.RepoID+", whose packages dnf does not check (gpgcheck=0)")
			continue
		case !isKmod:
			others = append(others, p)
			continue
		}
		why, err := notFor(p, release, v.Build, symbols, files)
		switch {
		case err != nil:
			return l, err
		case why != "":
			refuse(p, why)
		default:
			kmods = append(kmods, p)
		}
	}
	slices.Sort(l.Refused)
	if len(kmods) == 0 {
		return l, nil
	}
	best := slices.MaxFunc(kmods, newest)
	l.Packages = append(l.Packages, merged(best, kmods))
	for _, name := range v.Companions {
		var candidates []offeredPackage
		for _, p := range others {
			if matches(name, p.Name) {
				candidates = append(candidates, p)
			}
		}
		same := slices.DeleteFunc(slices.Clone(candidates), func(p offeredPackage) bool { return p.version != best.version })
		if len(same) > 0 {
			candidates = same
		}
		if len(candidates) > 0 {
			l.Packages = append(l.Packages, merged(slices.MaxFunc(candidates, newest), candidates))
		}
	}
	for _, p := range slices.Concat(kmods, others) {
		if p.RepoID != "" {
			l.Allowed[p.NEVRA] = append(l.Allowed[p.NEVRA], p.RepoID)
		}
	}
	return l, nil
}

// merged is a package, installed and offered.
func merged(p offeredPackage, all []offeredPackage) Package {
	for _, other := range all {
		if other.NEVRA == p.NEVRA {
			p.Installed = p.Installed || other.Installed
			p.RepoID = cmp.Or(p.RepoID, other.RepoID)
			p.DownloadSize = cmp.Or(p.DownloadSize, other.DownloadSize)
		}
	}
	return p.Package
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

// newest orders packages by version and release.
func newest(a, b offeredPackage) int {
	return cmp.Or(compareVersions(a.version, b.version), compareVersions(a.release, b.release))
}
