// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

// KernelPackages lists every package, installed or available, that belongs to
// the kernel build with the given release (uname -r): that provides
// "X-uname-r = release", whatever X is. They are sorted by NEVRA; the list is
// empty if no repository has such a package and none is installed.
//
// If a repository could not be reached, the error's reason is
// reason.RepoUnreachable, and the packages that the others offer or that are
// installed are returned with it: with skip_if_unavailable, the usual setting,
// dnf goes on without the repository. Other errors come without packages.
func (d *DNF5) KernelPackages(ctx context.Context, release string) ([]Package, error) {
	packages, err := d.kernelPackages(ctx, unameVersion(release))
	if err != nil {
		return packages, fmt.Errorf("cannot list the packages of kernel %s: %w", release, err)
	}
	return packages, nil
}

func (d *DNF5) kernelPackages(ctx context.Context, version string) ([]Package, error) {
	packages, err := d.packages(ctx, map[string]any{}, map[string]any{
		"whatprovides": []string{"*" + unameSuffix + " = " + version}, // the name may be a glob
	})
	return ofBuild(packages, version), err
}

// ofBuild leaves out what does not belong to the build, whatever dnf's matching
// was.
func ofBuild(packages []Package, version string) []Package {
	return slices.DeleteFunc(packages, func(p Package) bool { return !belongsTo(p.Provides, version) })
}

// packages lists packages in a session with these settings. If a repository
// could not be reached, those of the others come with the error.
func (d *DNF5) packages(ctx context.Context, settings, options map[string]any) ([]Package, error) {
	track := newTracker(nil)
	s, err := d.open(ctx, track, settings)
	if err != nil {
		return nil, err
	}
	defer s.close()
	options["package_attrs"] = []string{"nevra", "name", "repo_id", "is_installed", "download_size", "install_size", "provides"}
	found, err := s.list(ctx, options)
	if err != nil {
		return nil, track.explain(err)
	}
	packages, err := packagesOf(found)
	if err != nil {
		return nil, err
	}
	for i := range packages {
		packages[i].RepoID = redact.Text(packages[i].RepoID)
	}
	if len(track.deadRepos) > 0 {
		err = reason.With(reason.RepoUnreachable, errors.New(strings.Join(track.deadRepos, "; ")))
	}
	return packages, err
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
	return slices.SortedFunc(maps.Values(byNEVRA), func(a, b Package) int { return cmp.Compare(a.NEVRA, b.NEVRA) }), nil
}

// installedNEVRAs asks the rpmdb, in a session of its own: the answers of one
// that installed something are stale, and includepkgs hides installed packages.
func (d *DNF5) installedNEVRAs(ctx context.Context) (map[string]bool, error) {
	s, err := d.open(ctx, newTracker(nil), map[string]any{"load_available_repos": false})
	if err != nil {
		return nil, err
	}
	defer s.close()
	found, err := s.list(ctx, map[string]any{"scope": "installed", "package_attrs": []string{"nevra"}})
	if err != nil {
		return nil, fmt.Errorf("cannot list the installed packages: %w", explain(err))
	}
	nevras := make(map[string]bool, len(found))
	for _, attrs := range found {
		if nevra, ok := attrs["nevra"].Value().(string); ok {
			nevras[nevra] = true
		}
	}
	return nevras, nil
}
