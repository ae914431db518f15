// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"driverd/daemon/jobs"
	"driverd/dnfbridge"
	"driverd/hwdetect/firmware"
	"driverd/plan"
	"driverd/reason"
)

// maxFirmware is how large the download of a package may be whose files drivers
// name: they name those of every device that they know. What is small costs less
// than a driver that fails and is tried again; what is large (that of amdgpu, of
// nouveau) waits until the kernel asks for a file of it.
const maxFirmware = 20_000_000 // bytes

// Firmware knows which files of firmware are on this guest.
type Firmware interface {
	// Lacking returns those of the files that are not.
	Lacking(files []string) []string
}

// withFirmware has do run a transaction with the packages of files that the guest
// lacks. A driver does not wait for firmware that cannot be had: it may do without,
// and if not, says so. So do then runs without it; lacks says why. It is called
// outside the engine's goroutine.
func (e *Engine) withFirmware(ctx context.Context, t dnfbridge.Transaction, f jobs.Files, policy plan.Policy,
	do func(t dnfbridge.Transaction, firmware []string) error,
) (lacks, err error) {
	add, lacks := firmwareSource{e.Backend, e.Firmware, policy}.find(ctx, f)
	if len(add.Install) > 0 {
		all := t
		all.Install = slices.Concat(t.Install, add.Install)
		all.Allowed = slices.Concat(t.Allowed, add.Allowed)
		all.Others = maps.Clone(add.Others)
		maps.Copy(all.Others, t.Others)
		err := do(all, add.Install)
		why := reason.Of(err)
		if len(t.Install) == 0 || !ofOnePackage(why) && why != reason.RepoUnreachable && why != reason.NoSpace {
			return lacks, err
		}
		lacks = also(lacks, err)
	}
	if len(t.Install) == 0 {
		return nil, lacks
	}
	return lacks, do(t, nil)
}

// goWithout notes what firmware a job does not bring.
func (e *Engine) goWithout(j *jobs.Job, lacks error) {
	if j.Active() {
		j.Without = "; without firmware: " + lacks.Error()
		e.Log.Warn().Str("event", "firmware-not-had").Strs("packages", j.Packages).
			Msgf("%s is installed without firmware: %v", strings.Join(j.Packages, " "), lacks)
	}
}

// Finder looks for packages; see dnfbridge.DNF5.Find.
type Finder interface {
	Find(ctx context.Context, what []string, fresh bool) ([]dnfbridge.Package, error)
}

// FindFirmware finds what to install for files that are asked for and that the
// guest lacks. There may be some although there is a problem with others.
func FindFirmware(ctx context.Context, packages Finder, guest Firmware, asked []string, policy plan.Policy) (nevras []string, problem error) {
	add, problem := firmwareSource{packages, guest, policy}.find(ctx, jobs.Files{Asked: asked})
	return add.Install, problem
}

// firmwareSource is what firmware comes from.
type firmwareSource struct {
	packages Finder
	guest    Firmware
	policy   plan.Policy
}

// find finds what to install for files that the guest lacks, and what may
// come along. There may be some although there is a problem with others.
func (s firmwareSource) find(ctx context.Context, f jobs.Files) (add dnfbridge.Transaction, problem error) {
	add.Others = make(map[string][]string)
	var names []string
	for _, file := range s.guest.Lacking(f.Named) {
		if name := firmware.Package(file); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
			problem = also(problem, s.add(ctx, &add, file, false))
		}
	}
	for _, file := range s.guest.Lacking(f.Asked) {
		problem = also(problem, s.add(ctx, &add, file, true))
	}
	slices.Sort(add.Install)
	add.Install = slices.Compact(add.Install)
	return add, problem
}

// add adds the package of one file to a transaction: the smallest, if
// there are several. One that is too large for a file that is only named is left
// to the kernel's asking.
func (s firmwareSource) add(ctx context.Context, add *dnfbridge.Transaction, file string, asked bool) error {
	found, err := s.lookUp(ctx, file, asked)
	var best *dnfbridge.Package
	for _, p := range found {
		switch {
		case p.Name == firmware.Whence:
			add.Allowed = append(add.Allowed, p.NEVRA)
			add.Others[p.NEVRA] = []string{p.RepoID}
		case available(p) && len(s.policy.NotHeld([]string{p.NEVRA})) > 0 && (best == nil || p.DownloadSize < best.DownloadSize):
			best = &p
		}
	}
	switch {
	case best == nil && err != nil:
		return err
	case best == nil:
		return reason.With(reason.FirmwareMissing, fmt.Errorf("no package that could be installed has /lib/firmware/%s", file))
	case asked || best.DownloadSize <= maxFirmware:
		add.Install = append(add.Install, best.NEVRA)
		add.Others[best.NEVRA] = []string{best.RepoID}
	}
	return nil
}

// lookUp finds packages that may have a file: that which is known to, or else, if
// the kernel has asked for it, those whose lists of files say so. These lists are
// too large to be fetched for a file that is only named. The metadata is renewed before
// a file that the kernel has asked for is said to be missing.
func (s firmwareSource) lookUp(ctx context.Context, file string, asked bool) ([]dnfbridge.Package, error) {
	if name := firmware.Package(file); name != "" {
		found, err := s.packages.Find(ctx, []string{name, firmware.Whence}, false)
		known := func(p dnfbridge.Package) bool { return p.Name == name && available(p) }
		if err != nil || !asked || slices.ContainsFunc(found, known) {
			return found, err
		}
	}
	what := append(firmware.Paths(file), firmware.Whence)
	found, err := s.packages.Find(ctx, what, false)
	if err != nil || slices.ContainsFunc(found, func(p dnfbridge.Package) bool { return p.Name != firmware.Whence && available(p) }) {
		return found, err
	}
	return s.packages.Find(ctx, what, true)
}

func available(p dnfbridge.Package) bool { return p.RepoID != "" && !p.Installed }

// also joins two errors in one line; either may be nil.
func also(err, other error) error {
	if err == nil || other == nil {
		return errors.Join(err, other)
	}
	return fmt.Errorf("%w; %w", err, other)
}
