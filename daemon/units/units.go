// SPDX-License-Identifier: Apache-2.0

// Package units has systemd start the units of the steps that root runs, which have the
// rights that the service does not have.
package units

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"driverd/reason"
)

// Manager is systemd, over one connection, which is made when it is first needed: an
// emulated guest takes a tenth of a second for each. The zero Manager is ready. It may be
// used by many goroutines.
type Manager struct {
	mu   sync.Mutex
	conn *systemd.Conn
}

func (m *Manager) connection() (*systemd.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil && m.conn.Connected() {
		return m.conn, nil
	}
	// It outlives whoever needs it first.
	conn, err := systemd.NewSystemConnectionContext(context.Background())
	if err != nil {
		return nil, err
	}
	if m.conn != nil {
		m.conn.Close()
	}
	m.conn = conn
	return conn, nil
}

// Start starts a unit, or joins its start if an earlier service has begun it, and returns what
// tells how it ends in the words of systemd; of two who start the same, only the second hears.
// If ctx ends, systemd may start it all the same.
func (m *Manager) Start(ctx context.Context, unit string) (<-chan string, error) {
	conn, err := m.connection()
	if err != nil {
		return nil, err
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
		return ended, err
	case <-ctx.Done():
		return ended, nil
	}
}

// Starting says whether a unit is being started, which a step is as long as it runs.
func (m *Manager) Starting(ctx context.Context, unit string) bool {
	conn, err := m.connection()
	if err != nil {
		return false // and nothing can be started either
	}
	state, err := conn.GetUnitPropertyContext(ctx, unit, "ActiveState")
	return err == nil && state.Value.Value() == "activating"
}

// Virtualization is where this guest runs, in the words of systemd-detect-virt(1); empty on
// bare metal.
func (m *Manager) Virtualization() (string, error) {
	conn, err := m.connection()
	if err != nil {
		return "", err
	}
	quoted, err := conn.GetManagerProperty("Virtualization")
	if err != nil {
		return "", err
	}
	return strconv.Unquote(quoted)
}

// NotStarted is the error of a unit that systemd was not asked for, or has refused to start;
// why is its reason, but where polkit has said no.
func NotStarted(unit string, why reason.Reason, err error) error {
	if e := (dbus.Error{}); errors.As(err, &e) &&
		(e.Name == "org.freedesktop.DBus.Error.AccessDenied" || e.Name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired") {
		why = reason.NotAuthorized
	}
	return reason.With(why, reason.NotStarted(fmt.Errorf("cannot start %s: %w", unit, err)))
}
