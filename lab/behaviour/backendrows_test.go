// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"testing"

	"driverd/lab/rpmrepo"
)

// withSlow adds to a repository a package that holds dnf's lock for two minutes.
func withSlow(t *testing.T) func(dir string) {
	return func(dir string) {
		slow := rpmrepo.Package{Name: "lab-slow", Version: "1", Release: "1", Unsigned: true, Post: `os.execute("touch /run/lab-slow; sleep 120")`}
		if err := rpmrepo.Build(t.Context(), dir, nil, []rpmrepo.Package{slow}); err != nil {
			t.Fatal(err)
		}
	}
}

// takeSessions opens sessions of dnf5daemon until it has no more, and keeps them.
const takeSessions = `
import ctypes, pathlib, signal
sd = ctypes.CDLL("libsystemd.so.0")
bus, reply, taken = ctypes.c_void_p(), ctypes.c_void_p(), 0
sd.sd_bus_open_system(ctypes.byref(bus))
while True:
    if sd.sd_bus_call_method(bus, b"org.rpm.dnf.v0", b"/org/rpm/dnf/v0", b"org.rpm.dnf.v0.SessionManager",
            b"open_session", None, ctypes.byref(reply), b"a{sv}", 0) >= 0:
        taken += 1
    elif taken: # before that dnf5daemon may only be starting
        break
pathlib.Path("/run/sessions-taken").write_text(str(taken))
signal.pause()
`

// backend are faults of dnf5daemon, and of others who use it or dnf.
func backend() []row {
	stalled := downloading(rpmrepo.Stall)
	const unit = "dnf5daemon-server.service"
	return []row{
		{
			fault: "dnf5daemon missing", when: start(func(m *matrix) { m.sh("systemctl mask --now " + unit) }),
			meanwhile: "unavailable backend-missing", heal: func(m *matrix) { m.sh("systemctl unmask " + unit) },
		},
		{
			fault: "dnf5daemon hangs", when: stalled, script: "systemctl kill --signal=STOP " + unit,
			meanwhile: "installing",
			heal: func(m *matrix) {
				m.sh("systemctl kill --signal=CONT " + unit + " || true")
				free(m)
			},
		},
		{fault: "dnf5daemon restarted", when: stalled, script: "systemctl --no-block restart " + unit, heal: free},
		{
			fault: "all sessions taken by others", when: start(func(m *matrix) {
				m.sh("rm -f /run/sessions-taken; systemd-run --collect --unit=lab-sessions python3 -c '%s'", takeSessions)
				m.until("test -s /run/sessions-taken")
				if got := m.sh("cat /run/sessions-taken"); got == "0" {
					m.Error("no session could be taken")
				}
			}),
			meanwhile: "installing", heal: func(m *matrix) { m.sh("systemctl stop lab-sessions.service || true") },
		},
		{
			fault: "dnf5 holds the lock for two minutes", when: start(func(m *matrix) {
				m.sh("rm -f /run/lab-slow; systemd-run --collect --unit=lab-lock dnf5 -y --setopt=lab.gpgcheck=0 install lab-slow")
				m.until("test -e /run/lab-slow")
			}),
			meanwhile: "installing", heal: func(m *matrix) { m.until("! systemctl is-active lab-lock.service") }, // ends by itself
		},
	}
}
