// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
)

// Listing is what the package manager knows about one kernel build.
type Listing struct {
	// Packages are sorted by NEVRA. If none of those that are installed says that
	// it belongs to the build, those are among them that have the kernel's files or
	// its version and release.
	Packages []Package

	// Disabled are the repositories that are configured and not asked, those of
	// sources and debugging information apart. They are known where what is hidden is.
	Disabled []string
}

// Offered says whether there is a package that can be installed.
func (l Listing) Offered() bool { return offered(l.Packages) }

// KernelPackages lists every package, installed or available, that belongs to
// the kernel build with the given release (uname -r): that provides
// "X-uname-r = release", whatever X is.
//
// With fresh, the metadata is renewed first, and what DNF's configuration hides is
// listed too, as Excluded. That is so without fresh, too, if nothing else is offered.
// Packages that a module stream hides are not listed; if there are no others, the
// error's reason is reason.Excluded.
//
// If a repository could not be reached, the error's reason is
// reason.RepoUnreachable, and the packages that the others offer or that are
// installed are returned with it: with skip_if_unavailable, the usual setting,
// dnf goes on without the repository.
//
// Where no package that could be installed says which modules it holds, its list of
// files does: their kmod() are among the Provides then.
func (d *DNF5) KernelPackages(ctx context.Context, release string, fresh bool) (Listing, error) {
	l, err := d.kernelPackages(ctx, release, fresh)
	if err != nil {
		return l, fmt.Errorf("cannot list the packages of kernel %s: %w", release, err)
	}
	return l, nil
}

func (d *DNF5) kernelPackages(ctx context.Context, release string, fresh bool) (Listing, error) {
	packages, err := d.query(ctx, fresh, map[string]any{}, func(s *session) ([]Package, error) { return s.kernelPackages(ctx, release) })
	l := Listing{Packages: packages}
	if nevras := silent(l.Packages); err == nil && len(nevras) > 0 {
		var files map[string][]string
		files, err = d.fileLists(ctx, nevras)
		nameModules(l.Packages, files)
	}
	if err != nil || l.Offered() && !fresh {
		return l, err
	}
	return l, d.addHidden(ctx, release, &l)
}

// ofAnyName is the capability of a build with a glob for its name.
func ofAnyName(release string) string { return "*" + unameSuffix + " = " + unameVersion(release) }

// query lists packages by list, in a session with these settings. If a repository could
// not be reached, those of the others come with the error.
func (d *DNF5) query(ctx context.Context, fresh bool, settings map[string]any, list func(*session) ([]Package, error)) ([]Package, error) {
	track := newTracker(nil)
	packages, err := d.queryOnce(ctx, track, fresh, settings, list)
	if err == nil && fresh && !track.asked {
		// The server had no metadata that could expire: it has copied dnf5's, which
		// may be as old.
		packages, err = d.queryOnce(ctx, track, fresh, settings, list)
	}
	if err != nil {
		return nil, err
	}
	return packages, track.unreachable()
}

func (d *DNF5) queryOnce(ctx context.Context, track *tracker, fresh bool, settings map[string]any, list func(*session) ([]Package, error)) ([]Package, error) {
	s, err := d.open(ctx, track, settings, fresh)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return list(s)
}

// kernelPackages lists the packages that belong to the build of a kernel.
func (s *session) kernelPackages(ctx context.Context, release string) ([]Package, error) {
	found, err := s.described(ctx, map[string]any{"whatprovides": []string{ofAnyName(release)}})
	if err != nil {
		return nil, err
	}
	packages, err := packagesOfBuild(found, release, func() ([]member, error) { return s.imageOwners(ctx, release) })
	return withRedactedRepos(packages), err
}

// packages lists packages.
func (s *session) packages(ctx context.Context, options map[string]any) ([]Package, error) {
	found, err := s.described(ctx, options)
	if err != nil {
		return nil, err
	}
	packages, err := packagesOf(found)
	return withRedactedRepos(packages), err
}

// withRedactedRepos redacts the repositories of packages.
func withRedactedRepos(packages []Package) []Package {
	for i := range packages {
		packages[i].RepoID = redact.Text(packages[i].RepoID)
	}
	return packages
}

// described lists packages with all that a Package says, and their builds.
func (s *session) described(ctx context.Context, options map[string]any) ([]map[string]dbus.Variant, error) {
	options["package_attrs"] = append([]string{"name", "download_size", "install_size"}, buildAttrs...)
	found, err := s.list(ctx, options)
	return found, s.track.explain(err)
}

// packagesOf makes one package of each NEVRA: dnf lists one that is installed
// and available twice.
func packagesOf(found []map[string]dbus.Variant) ([]Package, error) {
	byNEVRA := make(map[string]Package)
	for _, attrs := range found {
		var p Package
		var download, install uint64
		for name, into := range map[string]any{
			"nevra": &p.NEVRA, "name": &p.Name, "repo_id": &p.RepoID, "is_installed": &p.Installed,
			"download_size": &download, "install_size": &install, "provides": &p.Provides,
		} {
			if err := attrs[name].Store(into); err != nil {
				return nil, fmt.Errorf("cannot read the %s of a package: %w", name, err)
			}
		}
		p.DownloadSize, p.InstallSize = int64(download), int64(install)
		if p.Installed {
			p.RepoID, p.DownloadSize = "", 0
		}
		if other, twice := byNEVRA[p.NEVRA]; twice {
			p.Installed = p.Installed || other.Installed
			p.RepoID = cmp.Or(p.RepoID, other.RepoID)
			p.DownloadSize = cmp.Or(p.DownloadSize, other.DownloadSize)
		}
		slices.Sort(p.Provides)
		byNEVRA[p.NEVRA] = p
	}
	return sorted(slices.Collect(maps.Values(byNEVRA))), nil
}

func sorted(packages []Package) []Package {
	return slices.SortedFunc(slices.Values(packages), func(a, b Package) int { return cmp.Compare(a.NEVRA, b.NEVRA) })
}
