// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

// withoutExcludes are the settings of a session in which DNF's configuration hides
// nothing: excludepkgs and includepkgs, of dnf.conf and of repositories, and
// versionlock are not applied. Any user may set them. What module streams hide stays
// hidden (libdnf5: PackageSack::load_config_excludes_includes).
func withoutExcludes() map[string]any {
	return map[string]any{"config": map[string]string{"disable_excludes": "*"}}
}

// addHidden adds to a listing what DNF's configuration has kept out of it.
func (d *DNF5) addHidden(ctx context.Context, release string, l *Listing) error {
	track := newTracker(nil)
	s, err := d.open(ctx, track, withoutExcludes(), false)
	if err != nil {
		return err
	}
	defer s.close()
	all, err := s.kernelPackages(ctx, release)
	if err != nil {
		return err
	}
	for _, p := range all {
		if slices.ContainsFunc(l.Packages, func(shown Package) bool { return shown.NEVRA == p.NEVRA }) {
			continue
		}
		if p.Installed {
			p.RepoID, p.DownloadSize = "", 0
		}
		p.Excluded = !p.Installed
		l.Packages = append(l.Packages, p)
	}
	if !slices.ContainsFunc(l.Packages, func(p Package) bool { return p.Installed }) {
		owners, err := s.owners(ctx, release)
		if err != nil {
			return err
		}
		l.Packages = append(l.Packages, owners...)
	}
	l.Packages = sorted(l.Packages)
	if l.Disabled, err = s.disabledRepos(ctx); err != nil || offered(all) {
		return err
	}
	return d.filtered(ctx, release)
}

// owners lists the installed packages that have files of a kernel, or the version
// and release that its name consists of.
func (s *session) owners(ctx context.Context, release string) ([]Package, error) {
	return s.packages(ctx, map[string]any{
		"scope": "installed", "icase": false, "with_provides": false, "with_binaries": false, "with_src": false,
		"patterns": []string{
			"/lib/modules/" + release + "/*", "/usr/lib/modules/" + release + "/*", "/boot/vmlinuz-" + release, "*-" + release,
		},
	})
}

// disabledRepos lists the repositories that are configured and not enabled, and that
// could have packages of a kernel.
func (s *session) disabledRepos(ctx context.Context) ([]string, error) {
	var repos []map[string]dbus.Variant
	options := map[string]any{"enable_disable": "disabled", "repo_attrs": []string{"id"}}
	if err := s.call(ctx, listRepos, []any{variants(options)}, &repos); err != nil {
		return nil, fmt.Errorf("cannot list the repositories: %w", explain(err))
	}
	var ids []string
	for _, r := range repos {
		if id, _ := r["id"].Value().(string); !strings.Contains(id, "debug") && !strings.Contains(id, "source") {
			ids = append(ids, redact.Text(id))
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// filtered is the error of a kernel all of whose packages are hidden although DNF's
// configuration hides nothing: those of a module stream are. Only dnf's attempt to
// install them tells so, where none is installed.
func (d *DNF5) filtered(ctx context.Context, release string) error {
	options := withoutExcludes()
	options["load_system_repo"] = false
	s, err := d.open(ctx, newTracker(nil), options, false)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.call(ctx, markInstall, []any{[]string{ofAnyName(release)}, variants(nil)}); err != nil {
		return explain(err)
	}
	var items []item
	var result uint32
	if err := s.call(ctx, resolve, []any{variants(map[string]any{"interactive": false})}, &items, &result); err != nil {
		return explain(err)
	}
	found, err := s.problems(ctx)
	if err != nil || found&problemExcluded == 0 {
		return err
	}
	return reason.With(reason.Excluded, errors.New(
		"they belong to a module stream that is not enabled: dnf5 module list shows the streams, dnf5 module enable enables one"))
}
