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
// carries the reason that the step found.
func (Units) Load(ctx context.Context, slot hwdetect.Slot) error {
	conn, err := systemd.NewSystemConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("cannot reach systemd: %w", err)
	}
	defer conn.Close()
	unit := unitName(slot)
	ended := make(chan string, 1) // go-systemd sends while it holds a lock
	if _, err := conn.StartUnitContext(ctx, unit, "replace", ended); err != nil {
		err = fmt.Errorf("cannot start %s: %w", unit, err)
		if e := (dbus.Error{}); errors.As(err, &e) &&
			(e.Name == "org.freedesktop.DBus.Error.AccessDenied" || e.Name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") {
			return reason.With(reason.NotAuthorized, err)
		}
		return reason.With(reason.ProbeFailed, err)
	}
	select {
	case result := <-ended:
		if result == "done" {
			return Outcomes{outcomeDir}.Read(slot)
		}
		return reason.With(reason.ProbeFailed, fmt.Errorf("the load step has ended with %q: see journalctl -u %s", result, unit))
	case <-ctx.Done():
		return ctx.Err()
	}
}
