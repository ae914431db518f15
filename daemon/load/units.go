// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"sync"

	"driverd/daemon/units"
	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/reason"
)

// Units has systemd run load steps, with the privilege that the service does not have.
type Units struct {
	run   func(ctx context.Context, slot hwdetect.Slot) error // runs the step of a device
	holds string                                              // the folder of holds

	mu       sync.Mutex
	prepared map[hwdetect.Slot]*prepared
}

// NewUnits returns the units of the system.
func NewUnits(systemd *units.Manager) *Units {
	return newUnits(func(ctx context.Context, slot hwdetect.Slot) error { return runUnit(ctx, systemd, slot) }, holdDir)
}

func newUnits(run func(ctx context.Context, slot hwdetect.Slot) error, holds string) *Units {
	return &Units{run: run, holds: holds, prepared: make(map[hwdetect.Slot]*prepared)}
}

func unitName(slot hwdetect.Slot) string {
	return "driverd-load@" + slot.String() + ".service"
}

// Loaded says whether the running kernel has the module.
func (*Units) Loaded(module string) bool { return kmod.Loaded("/", module) }

// Load runs driverd-load@SLOT.service, or lets the one go on that is prepared, and returns
// when it has ended. Its error carries the reason that the step found; it is
// reason.ErrNotStarted if there was no step, as polkit or systemd had other things to do.
func (u *Units) Load(ctx context.Context, slot hwdetect.Slot) error {
	p, released := u.release(slot)
	if p == nil {
		return u.run(ctx, slot)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !released { // it was told to end
		return u.run(ctx, slot)
	}
	return p.err
}

// runUnit has systemd run the step of a device.
func runUnit(ctx context.Context, systemd *units.Manager, slot hwdetect.Slot) error {
	unit := unitName(slot)
	ended, err := systemd.Start(ctx, unit)
	if err != nil {
		return notStarted(unit, err)
	}
	select {
	case result := <-ended:
		return outcomeOf(Outcomes{outcomeDir}, slot, result)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func notStarted(unit string, err error) error { return units.NotStarted(unit, reason.ProbeFailed, err) }

// outcomeOf is how a step has ended of which systemd says the result of its job: one
// that is "canceled", or whose "dependency" failed, never began.
func outcomeOf(left Outcomes, slot hwdetect.Slot, result string) error {
	switch unit := unitName(slot); result {
	case "done":
		return left.Read(slot)
	case "canceled", "dependency", "skipped":
		return notStarted(unit, fmt.Errorf("the job of systemd has ended with %q", result))
	default:
		return reason.With(reason.ProbeFailed, fmt.Errorf("the load step has ended with %q: see journalctl -u %s", result, unit))
	}
}
