// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"driverd/reason"
)

// units starts the steps through systemd, which gives them the rights that the service
// does not have. The zero value is ready.
type units struct{}

func unitName(job uint64) string {
	return "driverd-install@" + strconv.FormatUint(job, 10) + ".service"
}

func (units) Start(ctx context.Context, job uint64) (<-chan string, func(), error) {
	unit := unitName(job)
	// Not with ctx: a step is waited for that is told to end.
	conn, err := systemd.NewSystemConnectionContext(context.WithoutCancel(ctx))
	if err != nil {
		return nil, nil, notStarted(unit, err)
	}
	ended := make(chan string, 1) // go-systemd sends while it holds a lock
	asked := make(chan error, 1)
	go func() {
		_, err := conn.StartUnitContext(context.WithoutCancel(ctx), unit, "replace", ended)
		if err != nil {
			ended <- "canceled"
		}
		asked <- err
	}()
	select {
	case err := <-asked:
		if err != nil {
			conn.Close()
			return nil, nil, notStarted(unit, err)
		}
	case <-ctx.Done(): // and systemd may start it all the same
	}
	return ended, conn.Close, nil
}

func (units) Running(ctx context.Context, job uint64) bool {
	conn, err := systemd.NewSystemConnectionContext(ctx)
	if err != nil {
		return false // and nothing can be started either
	}
	defer conn.Close()
	state, err := conn.GetUnitPropertyContext(ctx, unitName(job), "ActiveState")
	return err == nil && state.Value.Value() == "activating"
}

// notStarted is the error of a step that systemd was not asked for, or has refused.
func notStarted(unit string, err error) error {
	why := reason.BackendMissing
	if e := (dbus.Error{}); errors.As(err, &e) &&
		(e.Name == "org.freedesktop.DBus.Error.AccessDenied" || e.Name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") {
		why = reason.NotAuthorized
	}
	return reason.With(why, reason.NotStarted(fmt.Errorf("cannot start %s: %w", unit, err)))
}
