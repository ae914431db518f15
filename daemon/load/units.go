// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/reason"
)

// Units starts the load step through systemd, which gives it the privilege
// that the daemon does not have. The zero value is ready.
type Units struct{}

func unitName(slot hwdetect.Slot) string {
	return "driverd-load@" + slot.String() + ".service"
}

// Loaded says whether the running kernel has the module.
func (Units) Loaded(module string) bool { return kmod.Loaded("/", module) }

// Load runs driverd-load@SLOT.service and returns when it has ended. Its error
// carries the reason that the step found; it is reason.ErrNotStarted if there was no
// step, as polkit or systemd had other things to do.
func (Units) Load(ctx context.Context, slot hwdetect.Slot) error {
	unit := unitName(slot)
	conn, err := systemd.NewSystemConnectionContext(ctx)
	if err != nil {
		return notStarted(unit, err)
	}
	defer conn.Close()
	ended := make(chan string, 1) // go-systemd sends while it holds a lock
	if _, err := conn.StartUnitContext(ctx, unit, "replace", ended); err != nil {
		return notStarted(unit, err)
	}
	select {
	case result := <-ended:
		return outcomeOf(Outcomes{outcomeDir}, slot, result)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// notStarted is the error of a step that systemd was not asked for, or has refused.
func notStarted(unit string, err error) error {
	why := reason.ProbeFailed
	if e := (dbus.Error{}); errors.As(err, &e) &&
		(e.Name == "org.freedesktop.DBus.Error.AccessDenied" || e.Name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") {
		why = reason.NotAuthorized
	}
	return reason.With(why, reason.NotStarted(fmt.Errorf("cannot start %s: %w", unit, err)))
}

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
