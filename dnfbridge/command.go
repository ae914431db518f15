// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
const queryFormat = "\x1e%{full_nevra}\x1f%{name}\x1f%{repoid}\x1f%{downloadsize}\x1f%{installsize}\x1f%{version}\x1f%{release}\x1f%{arch}\x1f%{vendor}\x1f%{provides}\x1f%{requires}"

// KernelPackages lists what belongs to a kernel build. It has the metadata renewed
// before it says that no repository has a package of it.
func (c Command) KernelPackages(ctx context.Context, release string) ([]Package, error) {
	var packages []Package
	for _, query := range [][]string{{}, {"--refresh"}} {
		found, err := c.query(ctx, append(query, "--whatprovides="+ofAnyName(release))...)
		if err == nil {
			packages, err = packagesOfBuild(found, release, func() ([]member, error) { return c.imageOwners(ctx, release) })
		}
		if err != nil {
			return nil, fmt.Errorf("cannot list the packages of kernel %s: %w", release, err)
		}
		if offered(packages) {
			break
		}
	}
	files, err := c.fileLists(ctx, silent(packages))
	if err != nil {
		return nil, err
	}
	nameModules(packages, files)
	return packages, nil
}

// fileLists returns the lists of files of packages that are offered, by their NEVRAs.
func (c Command) fileLists(ctx context.Context, nevras []string) (map[string][]string, error) {
	files := make(map[string][]string)
	for _, nevra := range nevras {
		out, err := c.run(ctx, "--quiet", "repoquery", "--available", "--list", nevra)
		if err != nil {
			return nil, fmt.Errorf("cannot list the files of %s: %w", nevra, err)
		}
		files[nevra] = strings.Fields(out)
	}
	return files, nil
}

// Find lists packages by their names and files; see DNF5.Find.
func (c Command) Find(ctx context.Context, what []string, fresh bool) ([]Package, error) {
	query := append([]string{"--latest-limit=1"}, what...)
	if fresh {
		query = append(query, "--refresh")
	}
	var packages []Package
	found, err := c.query(ctx, query...)
	if err == nil {
		packages, err = packagesOf(found)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look for %s: %w", strings.Join(what, ", "), err)
	}
	return packages, nil
}

// query asks for packages, in the form of dnf5daemon's answers.
func (c Command) query(ctx context.Context, query ...string) ([]map[string]dbus.Variant, error) {
	available, err := c.queryScope(ctx, "--available", query...)
	if err != nil {
		return nil, err
	}
	installed, err := c.queryScope(ctx, "--installed", query...)
	return append(available, installed...), err
}

func (c Command) queryScope(ctx context.Context, scope string, query ...string) ([]map[string]dbus.Variant, error) {
	out, err := c.run(ctx, append([]string{"--quiet", "repoquery", scope, "--queryformat=" + queryFormat}, query...)...)
	if err != nil {
		return nil, err
	}
	var found []map[string]dbus.Variant
	for record := range strings.SplitSeq(out, "\x1e") {
		fields := strings.Split(record, "\x1f")
		if len(fields) != 11 {
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
			"version": dbus.MakeVariant(fields[5]), "release": dbus.MakeVariant(fields[6]),
			"arch": dbus.MakeVariant(fields[7]), "vendor": dbus.MakeVariant(fields[8]),
			"provides": dbus.MakeVariant(strings.Split(strings.TrimSpace(fields[9]), "\n")),
			"requires": dbus.MakeVariant(strings.Split(strings.TrimSpace(fields[10]), "\n")),
		})
	}
	return found, nil
}

// Install runs a transaction, which is planned first and passes the same guard as one
// of dnf5daemon's: dnf5 then carries out exactly that plan, or nothing. It takes what it
// has stored for files that somebody has brought, whose signatures it checks only if told
// so. The files are on the disk at the end.
func (c Command) Install(ctx context.Context, t Transaction) error {
	err := c.planned(ctx, t, func(options []string, plan string) error {
		if _, err := c.run(ctx, append(options, "--setopt=localpkg_gpgcheck=1", "replay", plan)...); err != nil {
			return err
		}
		return flush(filepath.Join(c.Root, "usr/lib/modules"))
	})
	if err != nil {
		return fmt.Errorf("cannot install %s: %w", strings.Join(t.Install, ", "), err)
	}
	return nil
}

// Download leaves the packages of a transaction in dir, with all that they need and
// the tree lacks. It is planned and guarded like Install.
func (c Command) Download(ctx context.Context, t Transaction, dir string) error {
	cache, err := os.MkdirTemp("", "driverd-download-")
	if err != nil {
		return fmt.Errorf("cannot download packages: %w", err)
	}
	defer func() { _ = os.RemoveAll(cache) }()
	err = c.planned(ctx, t, func(options []string, _ string) error {
		args := append(options, "--setopt=keepcache=1", "--setopt=cachedir="+cache, "install", "--downloadonly")
		_, err := c.run(ctx, append(args, t.Install...)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot download %s: %w", strings.Join(t.Install, ", "), err)
	}
	// CACHE/REPOSITORY-HASH/packages/*.rpm
	files, err := filepath.Glob(filepath.Join(cache, "*", "packages", "*.rpm"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("cannot download %s: dnf5 left nothing in its cache", strings.Join(t.Install, ", "))
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

// planned has dnf5 store what it would do, and calls do with the options that made the
// plan, and the folder where it is, if the guard lets it pass.
func (c Command) planned(ctx context.Context, t Transaction, do func(options []string, plan string) error) error {
	installed, err := c.run(ctx, "--quiet", "repoquery", "--installed", "--queryformat=%{full_nevra}\n")
	if err != nil {
		return err
	}
	has := make(map[string]bool)
	for _, nevra := range strings.Fields(installed) {
		has[withoutZeroEpoch(nevra)] = true
	}
	a := &attempt{Transaction: t}
	if a.from, err = c.sources(ctx, t); err != nil {
		return err
	}
	options := []string{"-y"}
	for key, value := range t.config(has) {
		options = append(options, "--setopt="+key+"="+value)
	}
	slices.Sort(options)
	dir, err := os.MkdirTemp("", "driverd-plan-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	plan := filepath.Join(dir, "plan")
	if _, err := c.run(ctx, slices.Concat(options, []string{"install", "--store=" + plan}, t.Install)...); err != nil {
		return err
	}
	items, err := readPlan(filepath.Join(plan, "transaction.json"))
	if err != nil {
		return err
	}
	if err := a.guard(items); err != nil {
		return err
	}
	return do(options, plan)
}

// sources are those of a transaction; see attempt.sources.
func (c Command) sources(ctx context.Context, t Transaction) (sources, error) {
	from := make(sources)
	maps.Copy(from, t.Others)
	for _, release := range t.Kernels {
		found, err := c.query(ctx, "--whatprovides="+ofAnyName(release))
		if err != nil {
			return nil, err
		}
		all := members(found, unameVersion(release))
		of, err := kernelBuild(release, installedAmong(all), func() ([]member, error) { return c.imageOwners(ctx, release) })
		if err != nil {
			return nil, err
		}
		for _, m := range all {
			if !m.installed && m.build == of {
				from[m.nevra] = append(from[m.nevra], m.repo)
			}
		}
	}
	return from, nil
}

// readPlan reads a transaction that dnf5 has stored; see dnf5-replay(8).
func readPlan(file string) ([]item, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read what dnf5 would do: %w", err)
	}
	var stored struct {
		RPMs []struct {
			NEVRA  string `json:"nevra"`
			Action string `json:"action"`
			Repo   string `json:"repo_id"`
		} `json:"rpms"`
		Groups       []json.RawMessage `json:"groups"`
		Environments []json.RawMessage `json:"environments"`
	}
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, fmt.Errorf("cannot read what dnf5 would do: %w", err)
	}
	var items []item
	for _, p := range stored.RPMs {
		name := nameOf(p.NEVRA)
		evr := strings.TrimPrefix(withoutZeroEpoch(p.NEVRA), name+"-")
		dot := max(strings.LastIndexByte(evr, '.'), 0)
		items = append(items, item{Type: "Package", Action: p.Action, Object: map[string]dbus.Variant{
			"name": dbus.MakeVariant(name), "evr": dbus.MakeVariant(evr[:dot]), "arch": dbus.MakeVariant(strings.TrimPrefix(evr[dot:], ".")),
			"repo_id": dbus.MakeVariant(repositoryOf(p.Repo)),
		}})
	}
	for range len(stored.Groups) + len(stored.Environments) {
		items = append(items, item{Type: "Group", Action: actionInstall})
	}
	return items, nil
}

// repositoryOf is the repository from which a package of a stored transaction came: dnf5
// writes it as @stored_transaction(ID), as that is whence it will be installed.
func repositoryOf(said string) string {
	if id, ok := strings.CutPrefix(said, "@stored_transaction("); ok {
		return strings.TrimSuffix(id, ")")
	}
	return said
}

// KeysOf returns where the keys of a repository are, as its configuration says.
func (c Command) KeysOf(ctx context.Context, repo string) (string, error) {
	return c.option(ctx, repo, "gpgkey")
}

// option is what the configuration of a repository says of an option.
func (c Command) option(ctx context.Context, repo, option string) (string, error) {
	out, err := c.run(ctx, "--dump-repo-config="+repo)
	if err != nil {
		return "", fmt.Errorf("cannot read the configuration of repository %s: %w", repo, err)
	}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == option {
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
