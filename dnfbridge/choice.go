// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"cmp"
	"slices"
	"strings"

	"driverd/internal/redact"
)

// vendorListing sorts what was found.
func vendorListing(found []offeredPackage, release string, v Vendor, k kernelFacts) (VendorListing, error) {
	l := VendorListing{Allowed: make(map[string][]string)}
	refuse := func(p offeredPackage, why string) {
		if text := redact.Text(p.NEVRA + " " + why); !slices.Contains(l.Refused, text) {
			l.Refused = append(l.Refused, text)
		}
	}
	var all, others []offeredPackage
	for _, p := range found {
		switch {
		case isOfKernel(p): // which is no vendor's
		case !p.checked:
			refuse(p, "is in repository "+p.RepoID+", whose packages dnf does not check (gpgcheck=0)")
		case v.isKmod(p):
			all = append(all, p)
		default:
			others = append(others, p)
		}
	}
	whys, err := notFor(all, release, v.Build, k)
	if err != nil {
		return l, err
	}
	var kmods []offeredPackage
	for i, p := range all {
		if whys[i] == "" {
			kmods = append(kmods, p)
		} else {
			refuse(p, whys[i])
		}
	}
	slices.Sort(l.Refused)
	if len(kmods) == 0 {
		return l, nil
	}
	best := bestKmod(kmods, others, v)
	kmods = slices.DeleteFunc(kmods, func(p offeredPackage) bool { return p.NEVRA != best.NEVRA })
	l.add(best, kmods)
	for _, name := range v.Companions {
		candidates, err := beside(kmods, others, name, k)
		if err != nil {
			return l, err
		}
		if len(candidates) > 0 {
			l.add(bestCompanion(candidates, best), candidates)
		}
	}
	for _, name := range v.Depends {
		candidates, err := beside(kmods, others, name, k)
		if err != nil {
			return l, err
		}
		l.allow(alongside(candidates, best.version))
	}
	return l, nil
}

// add adds a package that is wanted, which may come from where a candidate of its NEVRA is.
func (l *VendorListing) add(p offeredPackage, candidates []offeredPackage) {
	for _, other := range candidates {
		if other.NEVRA == p.NEVRA {
			p.Installed = p.Installed || other.Installed
			p.RepoID = cmp.Or(p.RepoID, other.RepoID)
			p.DownloadSize = cmp.Or(p.DownloadSize, other.DownloadSize)
			l.allow([]offeredPackage{other})
		}
	}
	p.RepoID = redact.Text(p.RepoID)
	l.Packages = append(l.Packages, p.Package)
}

// allow lets packages come from their repositories.
func (l *VendorListing) allow(packages []offeredPackage) {
	for _, p := range packages {
		if p.RepoID != "" && !slices.Contains(l.Allowed[p.NEVRA], p.RepoID) {
			l.Allowed[p.NEVRA] = append(l.Allowed[p.NEVRA], p.RepoID)
		}
	}
}

// isKmod says whether a package is one of those with the modules.
func (v Vendor) isKmod(p offeredPackage) bool {
	return slices.ContainsFunc(v.Kmods, func(name string) bool {
		return matches(name, p.Name) || strings.HasPrefix(name, "modalias(") && slices.ContainsFunc(p.Provides, func(c string) bool { return matches(name, capabilityName(c)) })
	})
}

// bestKmod is the one to install of packages with modules: one that takes no upgrade of what
// is installed, as the guard refuses that.
func bestKmod(kmods, others []offeredPackage, v Vendor) offeredPackage {
	var versions []string // of installed companions
	for _, p := range others {
		if p.Installed && slices.ContainsFunc(v.Companions, func(name string) bool { return matches(name, p.Name) }) {
			versions = append(versions, p.version)
		}
	}
	return slices.MaxFunc(kmods, func(a, b offeredPackage) int {
		return cmp.Or(
			rank(a.Installed, b.Installed),
			rank(slices.Contains(versions, a.version), slices.Contains(versions, b.version)),
			newest(a, b))
	})
}

// bestCompanion is the one to install with a package with modules.
func bestCompanion(candidates []offeredPackage, kmod offeredPackage) offeredPackage {
	return slices.MaxFunc(candidates, func(a, b offeredPackage) int {
		return cmp.Or(
			rank(a.version == kmod.version, b.version == kmod.version),
			rank(a.Installed, b.Installed),
			newest(a, b),
			rank(a.arch == kmod.arch, b.arch == kmod.arch))
	})
}

// beside are the packages of a name, or of what a pattern stands for, that may come with
// modules: from where those come from, or of their RPM vendor; and the distribution's, if the
// drop-in has its whole name. What is installed does not come.
func beside(kmods, others []offeredPackage, name string, k kernelFacts) ([]offeredPackage, error) {
	var all []offeredPackage
	for _, p := range others {
		if !matches(name, p.Name) {
			continue
		}
		may := p.RepoID == "" || slices.ContainsFunc(kmods, func(kmod offeredPackage) bool {
			return p.RepoID == kmod.RepoID || p.vendor != "" && p.vendor == kmod.vendor
		})
		if !may && p.vendor != "" && name == p.Name {
			distributor, err := k.vendor()
			if err != nil {
				return nil, err
			}
			may = p.vendor == distributor
		}
		if may {
			all = append(all, p)
		}
	}
	return all, nil
}

// alongside are those of packages that may come along: of each name and architecture those
// of a version, else the newest that is offered.
func alongside(packages []offeredPackage, version string) []offeredPackage {
	best := make(map[string]offeredPackage) // by name and architecture
	for _, p := range packages {
		if is, ok := best[p.Name+"."+p.arch]; p.RepoID != "" && (!ok || cmp.Or(rank(p.version == version, is.version == version), newest(p, is)) > 0) {
			best[p.Name+"."+p.arch] = p
		}
	}
	return slices.DeleteFunc(slices.Clone(packages), func(p offeredPackage) bool {
		return p.version != version && p.NEVRA != best[p.Name+"."+p.arch].NEVRA
	})
}

// rank orders what is so after what is not.
func rank(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// newest orders packages by epoch, version and release.
func newest(a, b offeredPackage) int {
	epoch := func(p offeredPackage) string {
		before, _, ok := strings.Cut(strings.TrimPrefix(p.NEVRA, p.Name+"-"), ":")
		if !ok {
			return "0"
		}
		return before
	}
	return cmp.Or(compareVersions(epoch(a), epoch(b)), compareVersions(a.version, b.version), compareVersions(a.release, b.release))
}
