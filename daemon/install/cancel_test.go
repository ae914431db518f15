// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/rs/zerolog"

	"driverd/daemon/install"
	"driverd/dnfbridge"
	"driverd/internal/testbus"
)

// A cancelled job does not wait for the step, and the step ends.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	var s *stage
	s = newStage(t, func(ctx context.Context, line *install.Line, job uint64) string {
		line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseDownload})
		<-ctx.Done()
		defer func() { ended <- context.Cause(ctx) }()
		return s.leave(job, install.Outcome{Message: "stopped"})
	})
	cancelled := errors.New("cancelled")
	err := s.backend().Install(ctx, transaction(nil), func(dnfbridge.Progress) { cancel(cancelled) })
	if !errors.Is(err, cancelled) {
		t.Errorf("it ends with %v", err)
	}
	if err := <-ended; !errors.Is(err, install.ErrStopped) {
		t.Errorf("the step ends with %v", err)
	}
}

// A cancelled job is stopped although its step does not hear of it at once.
func TestCancelledWhileTheStepIsNotConnected(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int{"it has not called yet": 0, "its connection is broken": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			var connection net.Conn
			cancelled, returned, ended := errors.New("cancelled"), make(chan struct{}), make(chan error, 1)
			ctx, cancel := context.WithCancelCause(t.Context())
			var s *stage
			s = newStage(t, func(ctx context.Context, line *install.Line, job uint64) string {
				if before == 0 {
					cancel(cancelled)
				}
				line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseDownload})
				<-returned
				err := line.Ask(ctx, []string{sriov})
				defer func() { ended <- err }()
				return s.leave(job, install.Outcome{Message: "stopped"})
			})
			s.dial = func(call func() (net.Conn, error)) (conn net.Conn, err error) {
				if calls++; calls > before {
					<-returned
					return call()
				}
				connection, err = call()
				return connection, err
			}
			err := s.backend().Install(ctx, transaction(nil), func(dnfbridge.Progress) {
				_ = connection.Close()
				cancel(cancelled)
			})
			close(returned)
			if !errors.Is(err, cancelled) {
				t.Errorf("it ends with %v", err)
			}
			if err := <-ended; !errors.Is(err, install.ErrStopped) {
				t.Errorf("the step hears %v", err)
			}
		})
	}
}

// A job that was cancelled while its step, which an earlier service has started, was waited
// for stays cancelled for the job that waits for that step next.
func TestCancelledStepOfAnEarlierService(t *testing.T) {
	t.Parallel()
	var connection net.Conn
	cancelled, again := errors.New("cancelled"), make(chan struct{})
	var s *stage
	s = newStage(t, func(ctx context.Context, line *install.Line, job uint64) string {
		if s.starts > 1 {
			if err := line.Ask(ctx, []string{sriov}); err != nil {
				t.Errorf("the next job ends with %v", err)
			}
			return s.leave(job, install.Outcome{})
		}
		line.Progress(dnfbridge.Progress{Phase: dnfbridge.PhaseDownload})
		<-again
		if err := line.Ask(ctx, []string{"old-1-1.x86_64"}); !errors.Is(err, install.ErrStopped) {
			t.Errorf("the cancelled step hears %v", err)
		}
		return s.leave(job, install.Outcome{Message: "stopped"})
	})
	s.dial = func(call func() (net.Conn, error)) (conn net.Conn, err error) {
		if connection != nil {
			<-again
			return call()
		}
		if conn, err = call(); err == nil {
			connection = conn
		}
		return conn, err
	}
	if err := install.WriteRequest(s.jobs, 1, install.Request{Install: []string{"old-1-1.x86_64"}}); err != nil {
		t.Fatal(err)
	}
	_, _ = s.Start(t.Context(), 1)
	b := s.backend()
	ctx, cancel := context.WithCancelCause(t.Context())
	err := b.Install(ctx, transaction(nil), func(dnfbridge.Progress) {
		_ = connection.Close()
		cancel(cancelled)
	})
	if !errors.Is(err, cancelled) {
		t.Errorf("it ends with %v", err)
	}
	close(again)
	var coming []string
	err = b.Install(t.Context(), transaction(func(c []string) error { coming = slices.Concat(coming, c); return nil }), nil)
	if err != nil || !slices.Equal(coming, []string{sriov}) {
		t.Errorf("%v; asked about %q", err, coming)
	}
}

// A job that is cancelled while systemd has not yet said that it starts the step ends at
// once, and the step is stopped.
func TestCancelledWhileSystemdIsAsked(t *testing.T) {
	bus := testbus.Start(t)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.Address)
	systemd, err := dbus.Connect(bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = systemd.Close() }()
	cancelled, returned := errors.New("cancelled"), make(chan struct{})
	ctx, cancel := context.WithCancelCause(t.Context())
	startUnit := func(string, string) (dbus.ObjectPath, *dbus.Error) {
		cancel(cancelled)
		<-returned
		return "/org/freedesktop/systemd1/job/7", nil
	}
	const path, iface = "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"
	if err := systemd.ExportMethodTable(map[string]any{"StartUnit": startUnit}, path, iface); err != nil {
		t.Fatal(err)
	}
	if _, err := systemd.RequestName("org.freedesktop.systemd1", dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	nowhere := func(context.Context, ...dbus.ConnOption) (*dbus.Conn, error) { return nil, errors.New("no bus") }
	jobs := t.TempDir()
	b := install.NewBackendAt(dnfbridge.NewDNF5(nowhere, zerolog.Nop()), zerolog.Nop(), install.Steps(), jobs, t.TempDir(), uint32(os.Getuid()))
	if err := b.Install(ctx, transaction(nil), nil); !errors.Is(err, cancelled) {
		t.Errorf("it ends with %v", err)
	}
	step, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	line := install.OpenLine(step, jobs, 1, uint32(os.Getuid()), stop)
	if err := line.Ask(step, []string{sriov}); !errors.Is(err, install.ErrStopped) {
		t.Errorf("the step hears %v", err)
	}
	close(returned)
}
