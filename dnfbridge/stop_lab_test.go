// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"driverd/dnfbridge"
)

// rest calls StopIfUnused. There is no systemd in this root: it fails when it comes to
// stopping the server, and only then.
func rest(t *testing.T, d *dnfbridge.DNF5) (done, stopping bool) {
	t.Helper()
	done, err := d.StopIfUnused(t.Context(), d.Stop)
	if stopping = err != nil && strings.HasPrefix(err.Error(), "cannot stop dnf5daemon-server.service: "); err != nil && !stopping {
		t.Fatal(err)
	}
	return done, stopping
}

// Only a server that driverd has had started is stopped, and not while somebody
// has a session.
func TestServerOfOthersIsNotStopped(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	if done, stopping := rest(t, d); !done || stopping {
		t.Errorf("before there is a server: done %v, stopping %v", done, stopping)
	}
	if _, err := d.KernelPackages(t.Context(), release, false); err != nil {
		t.Fatal(err)
	}
	other, err := g.Dial(nobody)
	if err != nil {
		t.Fatal(err)
	}
	var session dbus.ObjectPath
	manager := other.Object("org.rpm.dnf.v0", "/org/rpm/dnf/v0")
	if err := manager.CallWithContext(t.Context(), "org.rpm.dnf.v0.SessionManager.open_session", 0, map[string]dbus.Variant{}).Store(&session); err != nil {
		t.Fatal(err)
	}
	if done, stopping := rest(t, d); done || stopping {
		t.Errorf("somebody has a session: done %v, stopping %v", done, stopping)
	}
	// Who was there first sees the server as somebody else's.
	if done, stopping := rest(t, g.backend(0)); !done || stopping {
		t.Errorf("the server was there before: done %v, stopping %v", done, stopping)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		done, stopping := rest(t, d)
		if stopping {
			break
		}
		if done || time.Now().After(deadline) {
			t.Fatalf("nobody has a session any more: done %v", done)
		}
	}
	g.kill(t)
	if done, stopping := rest(t, d); !done || stopping {
		t.Errorf("the server is gone: done %v, stopping %v", done, stopping)
	}
}
