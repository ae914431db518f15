// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"driverd/reason"
)

const (
	// unitName is systemd's of the server.
	unitName = "dnf5daemon-server.service"

	// answerTime is how long a server without a session may take to say so. One
	// whose client has left in the middle of a transaction says nothing until
	// that has ended.
	answerTime = 5 * time.Second
	// stopTime is how long it may take to end.
	stopTime = 30 * time.Second
)

// StopIfUnused has stop end the server, which never ends by itself, if it is one that
// was started for this DNF5, and nobody has a session of it. It says whether there
// is nothing left to stop; if not, somebody uses the server. No session of this
// DNF5 opens meanwhile. stop is given the unique name of the server; its reason is
// BackendBusy if somebody uses it by then.
//
// The server shows its sessions to whoever introspects it, so that is known and
// not guessed. Somebody else's may begin between the question and the stop; the
// server then ends it unused, for a transaction is seen through, and the bus
// starts a server for the next.
func (d *DNF5) StopIfUnused(ctx context.Context, stop func(ctx context.Context, owner string) error) (done bool, err error) {
	started := d.started.Load()
	switch {
	case started == nil:
		return true, nil
	case !d.opening.TryLock():
		return false, nil
	}
	defer d.opening.Unlock()
	conn, err := d.dial(ctx)
	if err != nil {
		return false, fmt.Errorf("cannot connect to the bus of dnf5daemon: %w", err)
	}
	defer func() { _ = conn.Close() }()
	used, err := inUse(ctx, conn.Object(*started, managerPath))
	if left := (dbus.Error{}); errors.As(err, &left) && (died(left) || absent(left)) {
		d.started.Store(nil) // it has ended by itself, or for somebody else
		return true, nil
	}
	if used || err != nil {
		return false, err
	}
	switch err := stop(ctx, *started); {
	case reason.Of(err) == reason.BackendBusy:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cannot stop %s: %w", unitName, err)
	}
	d.started.Store(nil)
	return true, nil
}

// Stop has systemd stop the server with this unique name, if it still runs; it takes
// the rights of root. The reason of its error is BackendBusy if somebody has a session
// of it.
func (d *DNF5) Stop(ctx context.Context, owner string) error {
	conn, err := d.dial(ctx)
	if err != nil {
		return fmt.Errorf("cannot connect to the bus of dnf5daemon: %w", err)
	}
	defer func() { _ = conn.Close() }()
	var now string
	if err := conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, busName).Store(&now); err != nil || now != owner {
		return nil // it has ended
	}
	switch used, err := inUse(ctx, conn.Object(owner, managerPath)); {
	case err != nil:
		return err
	case used:
		return reason.With(reason.BackendBusy, errors.New("somebody uses dnf5daemon"))
	}
	return stop(ctx, conn)
}

// Wake has the bus start the server, if it does not run: beside what takes a while
// until it opens a session. A server that cannot be started is found out then.
func (d *DNF5) Wake(ctx context.Context) {
	d.opening.RLock()
	defer d.opening.RUnlock()
	signals := &signalQueue{ready: make(chan struct{}, 1)}
	conn, err := d.dial(ctx, dbus.WithSignalHandler(signals))
	if err != nil {
		return
	}
	s := &session{conn: conn, path: managerPath, signals: signals, silence: d.silence, track: newTracker(nil)}
	defer s.close()
	_ = d.findOwner(ctx, s)
}

// Started notes that another process has had a server started, for this DNF5 to stop.
func (d *DNF5) Started(owner string) { d.started.Store(&owner) }

// HasStarted returns the unique name of the server that was started for this DNF5;
// empty if it was there before.
func (d *DNF5) HasStarted() string {
	if owner := d.started.Load(); owner != nil {
		return *owner
	}
	return ""
}

// stop stops the server and waits until it has left the bus.
func stop(ctx context.Context, conn *dbus.Conn) error {
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface("org.freedesktop.DBus"),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, busName)); err != nil {
		return err
	}
	var job dbus.ObjectPath
	if err := conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").
		CallWithContext(ctx, "org.freedesktop.systemd1.Manager.StopUnit", 0, unitName, "replace").Store(&job); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopTime, fmt.Errorf("it has not ended in %s", stopTime))
	defer cancel()
	for {
		select {
		case s, open := <-signals:
			if !open {
				return errors.New("the connection to the bus was lost")
			}
			var name, before, after string
			if s.Name == "org.freedesktop.DBus.NameOwnerChanged" && dbus.Store(s.Body, &name, &before, &after) == nil && name == busName {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// inUse says whether a server has a session of anybody, or has no time to say.
func inUse(ctx context.Context, server dbus.BusObject) (bool, error) {
	asked, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var text string
	if err := server.CallWithContext(asked, "org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&text); err != nil {
		if ctx.Err() == nil && asked.Err() != nil {
			return true, nil
		}
		return false, fmt.Errorf("cannot ask dnf5daemon for its sessions: %w", err)
	}
	var node introspect.Node
	if err := xml.Unmarshal([]byte(text), &node); err != nil {
		return false, fmt.Errorf("cannot read the sessions of dnf5daemon: %w", err)
	}
	return len(node.Children) > 0, nil
}
