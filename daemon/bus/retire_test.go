// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"errors"
	"testing"
	"time"

	"driverd/api"
	"driverd/daemon"
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
