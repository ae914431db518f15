// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	notify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"

	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/internal/printable"
	"driverd/reason"
)

// idleTime is how long a service that can do nothing waits for questions: the
// bus starts it again for the next one.
const idleTime = 10 * time.Second

// answerInactive is the life of the service behind a closed gate: it says so
// once, answers whoever asks, and goes when nobody does any more.
func answerInactive(ctx context.Context, server *bus.Server, closed error, log zerolog.Logger) error {
	log.Info().Str("event", "inactive").Str("reason", string(reason.Of(closed))).
		Msgf("driverd is %s (%s): %v", daemon.Inactive, reason.Of(closed), closed)
	tell(log, fmt.Sprintf("%s\nSTATUS=%s (%s): %s", notify.SdNotifyReady, daemon.Inactive, reason.Of(closed), printable.Text(closed.Error())))
	for {
		select {
		case <-time.After(max(0, idleTime-server.Idle())):
		case <-server.Closed():
			if ctx.Err() == nil {
				return errors.New("cannot go on: the connection to the bus is lost")
			}
			return nil
		case <-ctx.Done():
			return nil
		}
		if server.Idle() >= idleTime {
			tell(log, notify.SdNotifyStopping) // first: who asks now waits for the next start
			return server.Retire()
		}
	}
}
