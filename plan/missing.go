// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"driverd/reason"
)

// unknown decides about what no package of the catalog answers to. It is told
// what to say if the catalog has all there is.
func (f Facts) unknown(format string, args ...any) Want {
	if f.CatalogProblem == nil && (f.Catalog == nil || f.Doubtful) {
		return Want{Action: Learn, State: Pending}
	}
	if f.CatalogProblem != nil {
		r := reason.Of(f.CatalogProblem)
		if r == reason.None {
			r = reason.TransactionFailed
		}
		return stop(r, "cannot learn which package holds the driver: %v", f.CatalogProblem)
	}
	switch c, foreign := f.Catalog, f.Foreign(); {
	case foreign != nil:
		return stop(reason.ForeignKernel, "%v", foreign)
	case !c.ofBuild:
		return stop(reason.NoPackage,
			"the packages of kernel %s do not say for which kernel they are made (no *-uname-r among their Provides): "+
				"install the one with the driver yourself, and driverd loads it", f.Release)
	case len(c.NEVRAs()) == 0 && c.Excludes():
		want := excluded(c.excluded())
		want.Packages, want.Group = nil, "" // whether one of them is for the device is not known
		return want
	case len(c.NEVRAs()) == 0:
		return stop(reason.StaleKernel, "the repositories no longer carry kernel %s: enable an archive repository%s, or reboot into the newest installed kernel",
			f.Release, f.disabled())
	case len(c.speaking)+len(c.modules) == 0:
		return stop(reason.NoPackage,
			"the repositories' packages of kernel %s say neither which devices they drive nor which modules they hold (no modalias() or kmod() among their Provides)", f.Release)
	}
	if problem := f.Kernel.Problem(); problem != nil {
		format, args = format+"; %v", append(args, problem)
	}
	return stop(reason.NoDriver, format, args...)
}

// Foreign is why no device can be helped if the running kernel belongs to no
// package: the host has brought it. It is nil while that is not certain.
func (f Facts) Foreign() error {
	if f.Catalog == nil || f.CatalogProblem != nil || len(f.Catalog.packages) > 0 {
		return nil
	}
	return reason.With(reason.ForeignKernel,
		fmt.Errorf("the running kernel %s belongs to no package: its modules must come from where it came from", f.Release))
}

// disabled names the repositories that were not asked.
func (f Facts) disabled() string {
	if len(f.Disabled) == 0 {
		return ""
	}
	return fmt.Sprintf(" or one that is disabled (%s: dnf5 config-manager setopt NAME.enabled=1)", strings.Join(f.Disabled, ", "))
}

// onlyExcluded returns those of the packages that DNF's configuration hides, if none of
// the others is installed, or can be.
func onlyExcluded(packages []Holder) []Holder {
	if slices.ContainsFunc(packages, func(p Holder) bool { return p.offered() || p.Installed }) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(packages), func(p Holder) bool { return !p.Excluded })
}

// excluded decides about packages that DNF's configuration hides.
func excluded(packages []Holder) Want {
	want := stop(reason.Excluded, "DNF's configuration excludes %s (excludepkgs= or includepkgs= in /etc/dnf/dnf.conf, or in the section of repository %s in /etc/yum.repos.d): change that, then run: driverd rescan",
		packages[0].NEVRA, packages[0].Repo)
	want.Group = packages[0].Group
	for _, p := range packages {
		want.Packages = append(want.Packages, p.NEVRA)
	}
	return want
}
