// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/reason"
)

// checkSignatures is an error unless each package that is about to come is signed by
// a key that this guest trusts already. For root, dnf5daemon imports the keys that a
// repository names without asking anybody (since 5.4.2.1), and installs from a
// repository without gpgcheck.
func (a *attempt) checkSignatures(ctx context.Context, verify func(ctx context.Context, files []string) error, root string, nevras []string) error {
	folders := []string{filepath.Join(root, cacheDir, "*", "packages")}
	local, err := a.localRepositories(ctx)
	if err != nil {
		return err
	}
	for _, dir := range local {
		folders = append(folders, filepath.Join(root, dir), filepath.Join(root, dir, "*"), filepath.Join(root, dir, "*", "*"))
	}
	var files []string
	for _, nevra := range nevras {
		var found []string
		for _, dir := range folders {
			// Of a folder that cannot be searched, nothing is found.
			matches, _ := filepath.Glob(filepath.Join(dir, fileName(nevra)))
			found = append(found, matches...)
		}
		if len(found) == 0 {
			return reason.With(reason.UntrustedPackage, fmt.Errorf("cannot check the signature of %s: its file is not where dnf keeps it", nevra))
		}
		files = append(files, found...)
	}
	return verify(ctx, files)
}

// fileName is what the file of a package is called: its NEVRA, without an epoch.
func fileName(nevra string) string {
	name := nameOf(nevra)
	version := strings.TrimPrefix(nevra, name+"-")
	if _, after, found := strings.Cut(version, ":"); found {
		version = after
	}
	return name + "-" + version + ".rpm"
}

// localRepositories are the folders of the repositories whose packages are not copied
// into the cache.
func (s *session) localRepositories(ctx context.Context) ([]string, error) {
	var repos []map[string]dbus.Variant
	if err := s.call(ctx, listRepos, []any{variants(map[string]any{"repo_attrs": []string{"baseurl"}})}, &repos); err != nil {
		return nil, s.track.explain(err)
	}
	var dirs []string
	for _, repo := range repos {
		urls, _ := repo["baseurl"].Value().([]string)
		for _, url := range urls {
			if dir, ok := strings.CutPrefix(url, "file://"); ok {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs, nil
}

// verifyWithRPM has rpmkeys(8) check the signatures of packages.
func verifyWithRPM(ctx context.Context, files []string) error {
	args := append([]string{"--define", "_pkgverify_level all", "--checksig", "--"}, files...)
	command := exec.CommandContext(ctx, "/usr/bin/rpmkeys", args...)
	command.Env = []string{"LC_ALL=C"}
	said, err := command.CombinedOutput()
	switch failed := (*exec.ExitError)(nil); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &failed):
		return reason.With(reason.UntrustedPackage, fmt.Errorf(
			"a package is not signed, or by no key that is trusted here, an administrator can import it: %s", oneLine(strings.TrimSpace(string(said)))))
	default:
		return reason.With(reason.UntrustedPackage, fmt.Errorf("cannot check the signatures of packages: %w", err))
	}
}
