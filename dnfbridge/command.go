// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
)

// Command is dnf5's command line, for the tree of a guest that does not run:
// where an image is made there may be no bus, and no dnf5daemon.
type Command struct {
	Root string // of the tree, whose repositories are used; / is the system itself
}

// queryFormat separates packages and what is said of them by characters that
// stand in none.
const queryFormat = "\x1e%{full_nevra}\x1f%{name}\x1f%{repoid}\x1f%{downloadsize}\x1f%{installsize}\x1f%{provides}"

// KernelPackages lists what belongs to a kernel build. It has the metadata renewed
// before it says that no repository has a package of it.
func (c Command) KernelPackages(ctx context.Context, release string) (packages []Package, err error) {
	for _, query := range [][]string{{}, {"--refresh"}} {
		packages, err = c.packages(ctx, append(query, "--whatprovides="+ofAnyName(release))...)
		if err != nil {
			return nil, fmt.Errorf("cannot list the packages of kernel %s: %w", release, err)
		}
		if packages = ofBuild(packages, unameVersion(release)); offered(packages) {
			break
		}
	}
	files := make(map[string][]string)
	for _, nevra := range silent(packages) {
		out, err := c.run(ctx, "--quiet", "repoquery", "--available", "--list", nevra)
		if err != nil {
			return nil, fmt.Errorf("cannot list the files of %s: %w", nevra, err)
		}
		files[nevra] = strings.Fields(out)
	}
	nameModules(packages, files)
	return packages, nil
}

// Find lists packages by their names and files; see DNF5.Find.
func (c Command) Find(ctx context.Context, what []string, fresh bool) ([]Package, error) {
	query := append([]string{"--latest-limit=1"}, what...)
	if fresh {
		query = append(query, "--refresh")
	}
	packages, err := c.packages(ctx, query...)
	if err != nil {
		return nil, fmt.Errorf("cannot look for %s: %w", strings.Join(what, ", "), err)
	}
	return packages, nil
}

// packages lists what a query finds.
func (c Command) packages(ctx context.Context, query ...string) ([]Package, error) {
	var found []map[string]dbus.Variant
	for _, scope := range []string{"--available", "--installed"} {
		out, err := c.run(ctx, append([]string{"--quiet", "repoquery", scope, "--queryformat=" + queryFormat}, query...)...)
		if err != nil {
			return nil, err
		}
		for record := range strings.SplitSeq(out, "\x1e") {
			fields := strings.Split(record, "\x1f")
			if len(fields) != 6 {
				continue // before the first
			}
			download, _ := strconv.ParseUint(fields[3], 10, 64) // not said of what is installed
			install, err := strconv.ParseUint(fields[4], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("cannot read the size of %s: %w", fields[0], err)
			}
			found = append(found, map[string]dbus.Variant{
				"nevra": dbus.MakeVariant(withoutZeroEpoch(fields[0])), "name": dbus.MakeVariant(fields[1]),
				"repo_id": dbus.MakeVariant(fields[2]), "is_installed": dbus.MakeVariant(scope == "--installed"),
				"download_size": dbus.MakeVariant(download), "install_size": dbus.MakeVariant(install),
				"provides": dbus.MakeVariant(strings.Split(strings.TrimSpace(fields[5]), "\n")),
			})
		}
	}
	return packagesOf(found)
}

// Install installs packages, each named by its whole NEVRA.
func (c Command) Install(ctx context.Context, nevras []string) error {
	if _, err := c.run(ctx, append([]string{"-y", "--setopt=install_weak_deps=0", "install"}, nevras...)...); err != nil {
		return fmt.Errorf("cannot install %s: %w", strings.Join(nevras, ", "), err)
	}
	return nil
}

// Download leaves the packages in dir, with all that they need and the tree
// lacks.
func (c Command) Download(ctx context.Context, nevras []string, dir string) error {
	cache, err := os.MkdirTemp("", "driverd-download-")
	if err != nil {
		return fmt.Errorf("cannot download packages: %w", err)
	}
	defer func() { _ = os.RemoveAll(cache) }()
	args := []string{"-y", "--setopt=install_weak_deps=0", "--setopt=keepcache=1", "--setopt=cachedir=" + cache, "install", "--downloadonly"}
	if _, err := c.run(ctx, append(args, nevras...)...); err != nil {
		return fmt.Errorf("cannot download %s: %w", strings.Join(nevras, ", "), err)
	}
	// CACHE/REPOSITORY-HASH/packages/*.rpm
	files, err := filepath.Glob(filepath.Join(cache, "*", "packages", "*.rpm"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("cannot download %s: dnf5 left nothing in its cache", strings.Join(nevras, ", "))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), data, 0o644)
		}
		if err != nil {
			return fmt.Errorf("cannot keep a package: %w", err)
		}
	}
	return nil
}

// KeysOf returns where the keys of a repository are, as its configuration says.
func (c Command) KeysOf(ctx context.Context, repo string) (string, error) {
	out, err := c.run(ctx, "--dump-repo-config="+repo)
	if err != nil {
		return "", fmt.Errorf("cannot read the configuration of repository %s: %w", repo, err)
	}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == "gpgkey" {
			return strings.TrimSpace(value), nil
		}
	}
	return "", nil
}

// run runs dnf5 and returns what it prints.
func (c Command) run(ctx context.Context, args ...string) (string, error) {
	if filepath.Clean(c.Root) != "/" {
		args = append([]string{"--installroot=" + c.Root}, args...)
	}
	cmd := exec.CommandContext(ctx, "dnf5", args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("dnf5: %w: %s", err, redact.Text(strings.TrimSpace(complaints.String())))
	}
	return out.String(), nil
}
