// SPDX-License-Identifier: Apache-2.0

// Package image installs packages into the tree of a guest that does not run, or
// lays them up there for the device that needs them.
package image

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"driverd/daemon"
	"driverd/daemon/config"
	"driverd/dnfbridge"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmod"
	"driverd/plan"
)

const (
	// keptPackages is the repository of packages that wait in the guest for the
	// device that needs them, and keptRepo what tells DNF of it.
	keptPackages = "/var/lib/driverd-packages"
	keptRepo     = "etc/yum.repos.d/driverd-packages.repo"
)

// Result says how much was done of what was asked for.
type Result int

// The results, the one that hides others last.
const (
	Done     Result = iota
	Failed          // the error says why
	Misused         // what was asked for makes no sense for an image
	NotKnown        // of a part nothing is known; the rest was done
)

// ErrNothing says that nothing is asked for.
var ErrNothing = errors.New("nothing is asked for: name a group such as sriov, or write a file in /etc/driverd/preinstall.d of the image")

// Image is the tree of a guest that does not run, and what is asked for in it.
type Image struct {
	Root         string
	Release      string // of its kernel; empty for the only one
	Selectors    []string
	DownloadOnly bool
	Say          func(format string, args ...any) error // tells a person, a line each
}

// Install installs into the tree, or lays up in it, what is asked for. No service
// and no device takes part: there need not be any.
func (i *Image) Install(ctx context.Context) (Result, error) {
	facts, wanted, err := i.read()
	if err != nil {
		return Misused, err
	}
	dnf := dnfbridge.Command{Root: i.Root}
	packages, err := dnf.KernelPackages(ctx, facts.Release)
	if err != nil {
		return Failed, err
	}
	facts.Catalog = daemon.NewCatalog(packages)
	c := choice{others: make(map[string][]string)}
	for _, s := range wanted {
		c.add(ctx, i, dnf, &facts, s)
	}
	missing, result := c.missing, c.result
	missing = slices.DeleteFunc(missing, func(nevra string) bool { return facts.Catalog.Holder(nevra).Installed })
	finder := &remembering{Finder: dnf}
	found, err := daemon.FindFirmware(ctx, finder, firmware.Guest{Root: i.Root, Release: facts.Release}, c.files, facts.Policy)
	if err != nil {
		result = max(result, NotKnown)
		_ = i.Say("%v", err)
	}
	missing, packages = append(missing, found...), slices.Concat(packages, c.packages, finder.found)
	slices.Sort(missing)
	missing = slices.Compact(missing)
	for _, p := range finder.found {
		if p.RepoID != "" {
			c.others[p.NEVRA] = append(c.others[p.NEVRA], p.RepoID)
		}
	}
	t := dnfbridge.Transaction{
		Install: missing, Kernels: []string{facts.Release}, Others: c.others,
		Allowed: append(facts.Policy.NotHeld(facts.Catalog.NEVRAs()), slices.Sorted(maps.Keys(c.others))...),
	}
	err = nil
	switch {
	case len(missing) == 0 && result == Done:
		err = i.Say("all that is asked for is installed for kernel %s", facts.Release)
	case len(missing) == 0:
	case i.DownloadOnly:
		err = i.layUp(ctx, dnf, packages, t)
	default:
		err = dnf.Install(ctx, t)
	}
	if err != nil {
		return Failed, err
	}
	if len(missing) > 0 {
		_ = i.Say("done for kernel %s: %s", facts.Release, strings.Join(missing, ", "))
	}
	return result, nil
}

// read reads the tree: its kernel, its rules, and what its files ask for beside
// the groups that were named.
func (i *Image) read() (plan.Facts, []plan.Selector, error) {
	var none plan.Facts
	modules := filepath.Join(i.Root, "usr/lib/modules")
	releases, err := kmod.Releases(modules)
	switch {
	case err != nil:
		return none, nil, fmt.Errorf("%s is not the root of a guest: %w", i.Root, err)
	case i.Release != "" && !slices.Contains(releases, i.Release):
		return none, nil, fmt.Errorf("there is no kernel %s in %s", i.Release, modules)
	case i.Release == "" && len(releases) != 1:
		return none, nil, fmt.Errorf("%s holds %d kernels: say which with --for", modules, len(releases))
	case i.Release == "":
		i.Release = releases[0]
	}
	index, err := kmod.Read(filepath.Join(modules, i.Release))
	if err != nil {
		return none, nil, err
	}
	configured, problem := config.Load(i.Root)
	wish, err := config.LoadPreinstall(i.Root)
	if err := errors.Join(problem, err); err != nil {
		return none, nil, err
	}
	var wanted []plan.Selector
	for _, text := range append(i.Selectors, wish.Selectors...) {
		s, err := plan.ParseSelector(text)
		if err != nil {
			return none, nil, err
		}
		wanted = append(wanted, s)
	}
	if len(wanted) == 0 {
		return none, nil, ErrNothing
	}
	return plan.Facts{
		Release: i.Release, Kernel: index, Policy: configured.Policy, Asked: true,
		Vendors: configured.Vendors, Offers: make(map[string]plan.VendorOffer),
	}, wanted, nil
}

// layUp makes a repository of the packages of a transaction in the tree. They are as
// signed as where they came from, and DNF asks for the same key.
func (i *Image) layUp(ctx context.Context, dnf dnfbridge.Command, packages []dnfbridge.Package, t dnfbridge.Transaction) error {
	dir := filepath.Join(i.Root, keptPackages)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot keep packages: %w", err)
	}
	if err := dnf.Download(ctx, t, dir); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "createrepo_c", "--quiet", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make a repository of the packages: createrepo_c: %w: %s", err, strings.TrimSpace(string(out)))
	}
	var keys []string
	for _, p := range packages {
		if !slices.Contains(t.Install, p.NEVRA) {
			continue
		}
		key, err := dnf.KeysOf(ctx, p.RepoID)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	// The cheapest of those that have the same package is used.
	text := fmt.Sprintf(`# Made by driverd image download.
[driverd-packages]
name=Driver packages that wait for their devices
baseurl=file://%s
enabled=1
gpgcheck=1
gpgkey=%s
cost=1
skip_if_unavailable=1
metadata_expire=1
`, keptPackages, strings.Join(slices.Compact(keys), " "))
	if err := renameio.WriteFile(filepath.Join(i.Root, keptRepo), []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot tell DNF of the packages: %w", err)
	}
	return nil
}
