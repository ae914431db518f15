// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

// checkSignatures is an error unless each package that is about to come is signed by
// a key that this guest trusts already, and is the one that the metadata says it is. For
// root, dnf5daemon imports the keys that a repository names without asking anybody
// (since 5.4.2.1), and installs from a repository without gpgcheck.
func (a *attempt) checkSignatures(ctx context.Context, verify func(ctx context.Context, files []string) error, root string, nevras []string) error {
	// What dnf has fetched it calls as the repository does, so what is in it counts.
	fetched := filesBelow(filepath.Join(root, cacheDir, "*", "packages"), "*.rpm")
	local, err := a.localRepositories(ctx)
	if err != nil {
		return err
	}
	var files []string
	for _, nevra := range nevras {
		candidates := fetched
		for _, dir := range local {
			for _, depth := range []string{"", "*", "*/*"} {
				candidates = slices.Concat(candidates, filesBelow(filepath.Join(root, dir, depth), fileName(nevra)))
			}
		}
		found := slices.DeleteFunc(slices.Clone(candidates), func(file string) bool {
			holds, err := nevraIn(file)
			return err != nil || holds != nevra // of others nothing is asked
		})
		if len(found) == 0 {
			return reason.With(reason.UntrustedPackage, fmt.Errorf("cannot check the signature of %s: no file holds it where dnf keeps what it installs", nevra))
		}
		files = append(files, found...)
	}
	return verify(ctx, files)
}

// filesBelow are the files of that name in folders; of one that cannot be searched, none.
func filesBelow(dirs, name string) []string {
	matches, _ := filepath.Glob(filepath.Join(dirs, name))
	return matches
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
			"a package is not signed, or not with a key that this guest trusts; an administrator can import the key: %s", oneLine(withoutFolders(string(said), files))))
	default:
		return reason.With(reason.UntrustedPackage, fmt.Errorf("cannot check the signatures of packages: %w", err))
	}
}

// withoutFolders is what rpmkeys said of files, with their names only: the folders of dnf's
// cache are called as repositories, whose ids may hold credentials.
func withoutFolders(said string, files []string) string {
	for _, file := range files {
		said = strings.ReplaceAll(said, file, filepath.Base(file))
	}
	return redact.Text(said)
}
