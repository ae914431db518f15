// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"driverd/api"
	"driverd/daemon"
	"driverd/daemon/bus"
)

// Who has called before the service retires gets the answer, and who calls
// afterwards finds nobody, so that the bus can start the service again.
func TestRetire(t *testing.T) {
	t.Parallel()
	s := start(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	explain := func(string) (daemon.Explanation, error) {
		close(asked)
		<-answer
		return daemon.Explanation{}, errors.New("late")
	}
	s.engine.explain.Store(&explain)
	call := s.client.Object(api.BusName, api.RootPath).Go(api.ManagerInterface+".Explain", 0, nil, "8086:10c9", map[string]any{})
	<-asked
	if idle := s.Idle(); idle != 0 {
		t.Errorf("somebody waits for an answer, and it is idle for %s", idle)
	}
	retired := make(chan error)
	go func() { retired <- s.Retire() }()
	// The name is gone while the call is still being answered.
	for owned := true; owned; {
		if err := s.client.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, api.BusName).Store(&owned); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-retired:
		t.Fatalf("retired before the call was answered: %v", err)
	default:
	}
	close(answer)
	if err := <-retired; err != nil {
		t.Error(err)
	}
	if err := (<-call.Done).Err; err == nil || err.Error() != "late" {
		t.Errorf("the answer was %v", err)
	}
	if idle := s.Idle(); idle < 0 || idle > time.Minute {
		t.Errorf("idle for %s", idle)
	}
}

// A client that has met the service has it started again if it comes to rest before the next
// call, and asks whether it may only then.
func TestClientWakes(t *testing.T) {
	t.Parallel()
	s := start(t)
	client, err := api.Connect(t.Context(), s.bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	asked := 0
	client.Wake = func() bool { asked++; return false }
	if _, err := client.Manager(t.Context()); err != nil || asked > 0 {
		t.Errorf("the service runs: %v; asked %d times whether to start it", err, asked)
	}
	if err := s.Retire(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Manager(t.Context()); !errors.Is(err, api.ErrNoService) || asked != 1 {
		t.Errorf("the service is not to be started: %v; asked %d times", err, asked)
	}
	client.Wake = func() bool { // what systemd does then
		again, err := bus.Listen(t.Context(), s.bus.Address, s.engine, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = again.Close() })
		again.Publish(view(1))
		if err := again.Serve(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	if _, err := client.Manager(t.Context()); err != nil {
		t.Errorf("the service is to be started: %v", err)
	}
}
