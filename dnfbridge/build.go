// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

// build is what all packages of one build of a kernel have in common. Anybody can
// make a package that provides X-uname-r; this has to be that of the package that
// owns the running kernel as well.
type build struct{ version, release, arch, vendor string }

// buildAttrs are what Rpm.list is asked for to tell what belongs to a build.
var buildAttrs = []string{"nevra", "repo_id", "is_installed", "provides", "version", "release", "arch", "vendor"}

// member is a package that says that it belongs to a kernel.
type member struct {
	build
	nevra, repo string
	installed   bool
	provides    []string
}

// members are the packages of an answer that say that they belong to the kernel of
// this version.
func members(found []map[string]dbus.Variant, version string) []member {
	var all []member
	for _, attrs := range found {
		nevra, _ := attrs["nevra"].Value().(string)
		repo, _ := attrs["repo_id"].Value().(string)
		provides, _ := attrs["provides"].Value().([]string)
		installed, _ := attrs["is_installed"].Value().(bool)
		if belongsTo(provides, version) {
			all = append(all, member{buildOfAttrs(attrs), nevra, repo, installed, provides})
		}
	}
	return all
}

// buildOfAttrs is the build that a package says it is of.
func buildOfAttrs(attrs map[string]dbus.Variant) build {
	text := func(key string) string {
		s, _ := attrs[key].Value().(string)
		return s
	}
	return build{text("version"), text("release"), text("arch"), vendorOf(text("vendor"))}
}

// vendorOf is a vendor, empty if there is none: libsolv and rpm have words for that.
func vendorOf(said string) string {
	if said == "<NULL>" || said == "(none)" {
		return ""
	}
	return said
}

// installedState is what the package database has, of all packages and of kernels.
type installedState struct {
	nevras map[string]bool
	builds map[string]build // by the release of the kernel
}

// installed asks the package database, in a session of its own: the answers of one
// that installed something are stale, and includepkgs hides installed packages. It
// finds the builds of kernels too; its reason is ForeignKernel if the first has none.
func (d *DNF5) installed(ctx context.Context, kernels []string) (installedState, error) {
	state := installedState{nevras: make(map[string]bool), builds: make(map[string]build)}
	// What the administrator's configuration excludes is installed all the same.
	config := map[string]string{"disable_excludes": "*"}
	s, err := d.open(ctx, newTracker(nil), map[string]any{"load_available_repos": false, "config": config}, false)
	if err != nil {
		return state, err
	}
	defer s.close()
	found, err := s.list(ctx, map[string]any{"scope": "installed", "package_attrs": []string{"nevra"}})
	if err != nil {
		return state, fmt.Errorf("cannot list the installed packages: %w", explain(err))
	}
	for _, attrs := range found {
		if nevra, ok := attrs["nevra"].Value().(string); ok {
			state.nevras[nevra] = true
		}
	}
	for n, release := range kernels {
		switch of, _, err := buildOf(ctx, s, release); {
		case err == nil:
			state.builds[release] = of
		case n == 0 || reason.Of(err) != reason.ForeignKernel:
			return state, err
		}
	}
	return state, nil
}

// kernelOwners finds installed packages of a kernel: a session of dnf5daemon's, or dnf5.
type kernelOwners interface {
	// claimants lists those that say that they belong to it.
	claimants(ctx context.Context, release string) ([]member, error)
	// imageOwners lists those that have its image, and say that they belong to it.
	imageOwners(ctx context.Context, release string) ([]member, error)
}

func (s *session) claimants(ctx context.Context, release string) ([]member, error) {
	found, err := s.list(ctx, map[string]any{
		"scope": "installed", "package_attrs": buildAttrs, "whatprovides": []string{ofAnyName(release)},
	})
	return members(found, unameVersion(release)), explain(err)
}

// buildOf is the build of an installed kernel, and its claimants; see kernelBuild.
func buildOf(ctx context.Context, o kernelOwners, release string) (build, []member, error) {
	claimants, err := o.claimants(ctx, release)
	if err != nil {
		return build{}, nil, fmt.Errorf("cannot tell the build of kernel %s: %w", release, err)
	}
	of, err := kernelBuild(release, claimants, func() ([]member, error) { return o.imageOwners(ctx, release) })
	return of, claimants, err
}

// kernelBuild is the build of an installed kernel. All installed packages that say that
// they belong to it, the claimants, must agree; else it is that of the one that has the
// kernel's image, which imageOwners lists. Otherwise the error's reason is ForeignKernel.
func kernelBuild(release string, claimants []member, imageOwners func() ([]member, error)) (build, error) {
	differ := func(owners []member) bool {
		return slices.ContainsFunc(owners, func(m member) bool { return m.build != owners[0].build })
	}
	owners := claimants
	if differ(claimants) {
		var err error
		if owners, err = imageOwners(); err != nil {
			return build{}, fmt.Errorf("cannot tell the build of kernel %s: %w", release, err)
		}
	}
	if len(owners) == 0 || differ(owners) {
		return build{}, reason.With(reason.ForeignKernel, fmt.Errorf("cannot tell the build of kernel %s: no one installed package owns it", release))
	}
	return owners[0].build, nil
}

// imagesOf are the paths at which a package may have the image of a kernel.
func imagesOf(release string) []string {
	return []string{"/lib/modules/" + release + "/vmlinuz", "/usr/lib/modules/" + release + "/vmlinuz"}
}

func (s *session) imageOwners(ctx context.Context, release string) ([]member, error) {
	found, err := s.list(ctx, map[string]any{
		"scope": "installed", "package_attrs": buildAttrs, "patterns": imagesOf(release),
		"with_nevra": false, "with_provides": false, "with_binaries": false, "with_src": false,
	})
	return members(found, unameVersion(release)), explain(err)
}

// sources says from which repositories each package may come, by NEVRA.
type sources map[string][]string

// sources are those of packages that are about to come: of the builds of the transaction's
// kernels, which dnf's answer does not guarantee, and the others that it names. Of some of
// them the transaction may want none: vetoes say why.
func (a *attempt) sources(ctx context.Context, coming []string) (from sources, vetoes map[string]error, err error) {
	from, vetoes = make(sources), make(map[string]error)
	maps.Copy(from, a.Others)
	if len(coming) == 0 {
		return from, vetoes, nil
	}
	// Of these alone, as it takes dnf long to tell what packages provide.
	found, err := a.list(ctx, map[string]any{
		"scope": "available", "package_attrs": buildAttrs, "patterns": coming,
		"with_provides": false, "with_filenames": false, "with_binaries": false, "with_src": false,
	})
	if err != nil {
		return nil, nil, a.track.explain(err)
	}
	for release, of := range a.builds {
		for _, m := range members(found, unameVersion(release)) {
			if m.build != of {
				continue
			}
			from[m.nevra] = append(from[m.nevra], m.repo)
			if a.Veto != nil && vetoes[m.nevra] == nil { // another repository may say other things of it
				vetoes[m.nevra] = a.Veto(m.nevra, m.provides)
			}
		}
	}
	return from, vetoes, nil
}

// stranger says what is wrong with where an item comes from, empty if nothing is. Nil
// sources find nothing wrong.
func (from sources) stranger(i item) string {
	if from == nil {
		return ""
	}
	switch repos := from[i.nevra()]; {
	case slices.Contains(repos, i.repo()):
		return ""
	case len(repos) == 0:
		return "which is not of this build of the kernel"
	default:
		return redact.Text(fmt.Sprintf("from the repository %s, and not from %s", i.repo(), strings.Join(repos, " or ")))
	}
}

// packagesOfBuild are the packages of an answer that belong to the build of a kernel. If
// this build cannot be told, they are all that say so, and the guard decides.
func packagesOfBuild(found []map[string]dbus.Variant, release string, imageOwners func() ([]member, error)) ([]Package, error) {
	version := unameVersion(release)
	of, err := kernelBuild(release, installedAmong(members(found, version)), imageOwners)
	if err != nil && reason.Of(err) != reason.ForeignKernel {
		return nil, err
	}
	if err == nil {
		found = slices.DeleteFunc(slices.Clone(found), func(attrs map[string]dbus.Variant) bool { return buildOfAttrs(attrs) != of })
	}
	packages, err := packagesOf(found)
	return slices.DeleteFunc(packages, func(p Package) bool { return !belongsTo(p.Provides, version) }), err
}

func installedAmong(all []member) []member {
	return slices.DeleteFunc(slices.Clone(all), func(m member) bool { return !m.installed })
}
