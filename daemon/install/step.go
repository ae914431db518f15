// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"driverd/daemon/config"
	"driverd/dnfbridge"
	"driverd/hwdetect/firmware"
	"driverd/kernelbuild"
	"driverd/plan"
	"driverd/reason"
)

// Step is the step of one job.
type Step struct {
	Job      uint64
	User     uint32   // of the service
	Kernels  []string // releases: the running one, and the next if there is one
	Outcomes string   // folder for the outcome; empty for none
	DNF      *dnfbridge.DNF5
	Config   func() (config.Config, error)
	Log      zerolog.Logger
}

// Run does what the service asks for, if this guest's configuration lets it and if it
// is of the build of one of the kernels, or firmware. How it ends it leaves for the
// service; only what keeps it from that is an error. It does not need the service to be
// there.
func (s Step) Run(ctx context.Context) error {
	if s.Outcomes != "" {
		if err := forget(s.Outcomes, s.Job); err != nil {
			return err
		}
	}
	var o outcome
	err := s.do(ctx, &o)
	o.Started = s.DNF.HasStarted()
	if err != nil {
		// It quotes what the service has left, and what others have written.
		o.Reason, o.Message = reason.Of(err), legible(err.Error())
	}
	switch {
	case s.Outcomes == "" && err != nil:
		return reason.With(o.Reason, errors.New(o.Message))
	case s.Outcomes == "":
		return nil
	case err != nil:
		s.Log.Error().Str("event", "install-failed").Str("reason", string(o.Reason)).Msg(o.Message)
	}
	return o.write(s.Outcomes, s.Job)
}

// do does it, and notes in an outcome what comes.
func (s Step) do(ctx context.Context, o *outcome) error {
	r, err := ReadRequest(jobsDir, s.Job, s.User)
	if err != nil {
		return reason.With(reason.TransactionRefused, err)
	}
	configured, err := s.Config()
	if r.Stop != "" {
		if stop := configured.StopBackend; err != nil || stop != nil && !*stop {
			return reason.With(reason.Policy, fmt.Errorf("cannot stop dnf5daemon: the configuration does not let it"))
		}
		return s.DNF.Stop(ctx, r.Stop)
	}
	if err := mayInstall(r, configured, err); err != nil {
		return fmt.Errorf("cannot install %s: %w", strings.Join(r.Install, ", "), err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	line := OpenLine(ctx, jobsDir, s.Job, s.User, stop)
	t := dnfbridge.Transaction{
		Install: r.Install, Allowed: configured.Policy.NotHeld(r.Allowed),
		Reinstall: r.Reinstall, DownloadOnly: r.DownloadOnly,
		Kernels: s.Kernels, Into: filepath.Join("/lib/modules", s.Kernels[0]), // may be a filesystem of its own
		Veto: func(nevra string, provides []string) error { return veto(configured.Policy, nevra, provides) },
		Commit: func(coming []string) error {
			o.Coming = coming
			return line.Ask(ctx, coming)
		},
	}
	if t.Others, err = s.others(ctx, r, configured.Vendors); err != nil {
		return fmt.Errorf("cannot install %s: %w", strings.Join(r.Install, ", "), err)
	}
	return s.DNF.Install(ctx, t, line.Progress)
}

// others finds where the packages of a request may come from that are of no kernel: of an
// enabled vendor's driver, or firmware. Firmware of the kernel's distribution is that,
// whatever a drop-in says of it.
func (s Step) others(ctx context.Context, r Request, vendors []plan.Vendor) (map[string][]string, error) {
	var known, rest []string
	for _, nevra := range r.Others {
		if firmware.Known(plan.PackageName(nevra)) {
			known = append(known, nevra)
		} else {
			rest = append(rest, nevra)
		}
	}
	from, err := s.ofVendors(ctx, r, rest, vendors)
	if err != nil {
		return nil, err
	}
	unknown := slices.DeleteFunc(rest, func(nevra string) bool { return from[nevra] != nil || named(vendors, nevra) })
	if len(known)+len(unknown) == 0 {
		return from, nil
	}
	files, err := s.DNF.Firmware(ctx, s.Kernels[0], known, unknown)
	maps.Copy(from, files)
	return from, err
}

// named says whether an enabled vendor's drop-in names a package.
func named(vendors []plan.Vendor, nevra string) bool {
	return slices.ContainsFunc(vendors, func(v plan.Vendor) bool { return v.Enabled && v.Names(plan.PackageName(nevra)) })
}

// ofVendors finds those packages of a request, of the others, that root has allowed by
// enabling a vendor's driver: what its drop-in names, and its modules only if they are made
// for one of the kernels.
func (s Step) ofVendors(ctx context.Context, r Request, others []string, vendors []plan.Vendor) (map[string][]string, error) {
	from := make(map[string][]string)
	for _, v := range vendors {
		byCapability := slices.ContainsFunc(v.Kmods, func(name string) bool { return strings.Contains(name, "(") })
		concerned := slices.ContainsFunc(others, func(nevra string) bool { return byCapability || v.Names(plan.PackageName(nevra)) })
		if !v.Enabled || !concerned {
			continue
		}
		for n, kernel := range s.Kernels {
			l, err := s.DNF.VendorPackages(ctx, kernel, dnfbridge.Vendor{Kmods: v.Kmods, Companions: v.Companions, Depends: v.Depends, Build: v.Build}, false)
			if err != nil && len(l.Allowed) == 0 && n == 0 { // of the next kernel the request need not be
				return nil, err
			}
			for nevra, repos := range ofListing(r, others, l) {
				from[nevra] = slices.Concat(from[nevra], repos)
			}
		}
	}
	return from, nil
}

// ofListing are those packages of a request, of the others, that a vendor's driver lets come:
// to be installed the modules and what belongs to them, as they were chosen here; and along
// with these what they may require. Without the modules nothing comes.
func ofListing(r Request, others []string, l dnfbridge.VendorListing) map[string][]string {
	from := make(map[string][]string)
	if len(l.Packages) == 0 {
		return from
	}
	if kmod := l.Packages[0]; !kmod.Installed && !slices.Contains(r.Install, kmod.NEVRA) {
		return from
	}
	for nevra, repos := range l.Allowed {
		chosen := slices.ContainsFunc(l.Packages, func(p dnfbridge.Package) bool { return p.NEVRA == nevra })
		if slices.Contains(others, nevra) && (chosen || !slices.Contains(r.Install, nevra)) {
			from[nevra] = repos
		}
	}
	return from
}

// mayInstall is what the configuration has against a request; broken is what is wrong
// with the configuration.
func mayInstall(r Request, c config.Config, broken error) error {
	switch held := c.Policy.Held(r.Install); {
	case broken != nil:
		return reason.With(reason.ObserveOnly, fmt.Errorf("the configuration has an error, see driverd check-config: %w", broken))
	case c.Observe && !r.Asked:
		return reason.With(reason.ObserveOnly, fmt.Errorf("the configuration says that driverd only observes"))
	case held != nil:
		return reason.With(reason.Policy, fmt.Errorf("%s says that %s must not be installed", held.Origin, held.Package))
	}
	return nil
}

// veto is what the rules of the configuration have against a package of a kernel.
func veto(policy plan.Policy, nevra string, provides []string) error {
	if rule := policy.Denies(kernelbuild.GroupOf(provides)); rule != nil {
		return reason.With(reason.Policy, fmt.Errorf("the rule at %s denies the drivers of %s", rule.Origin, nevra))
	}
	return nil
}
