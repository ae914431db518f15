// SPDX-License-Identifier: Apache-2.0

//go:build lab && faults

package behaviour_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
)

// row is one line of the matrix: a fault, the moment at which it strikes a card
// on its way to its driver, and what is expected. Nobody helps.
type row struct {
	fault string
	when  moment

	// The fault, as a script that runs in the guest right at the moment, or as
	// what is done from outside a moment later.
	script string
	strike func(m *matrix)

	// The state and the reason, as "unavailable repo-unreachable", that show
	// while the fault lasts; empty if it is over at once.
	meanwhile string
	heal      func(m *matrix)

	want string // the state at the end; empty for bound
}

// moment is one on a card's way to its driver.
type moment struct {
	name   string
	before func(m *matrix) // prepares it, before the card is there
	script string          // ends at that moment in the guest
	reach  func(m *matrix) // returns at that moment
}

// matrix is the guest that one row after another is tried on.
type matrix struct {
	guest
	repo     *faulty
	good     string // folder of the repository that is well
	slot     hwdetect.Slot
	out      bool   // the card has been taken out
	pristine string // what rpm -Va says of a guest to which nothing has happened
}

// try tries one row and returns its line of the table.
func (m *matrix) try(r row) string {
	m.Helper()
	if r.when.before != nil {
		r.when.before(m)
	}
	m.slot = m.plug("nic", "igb")
	if r.when.reach != nil {
		r.when.reach(m)
	}
	m.sh("SLOT=%s; %s\n%s", api.DevicePath(m.slot.String()), r.when.script, r.script)
	began := time.Now()
	if r.strike != nil {
		r.strike(m)
	}
	expected, seen := "", ""
	if r.meanwhile != "" {
		expected, seen = r.meanwhile+", ", m.shows(r.meanwhile)+", "
		began = time.Now()
	}
	if r.heal != nil {
		r.heal(m)
	}
	final := "gone"
	switch {
	case m.out:
		expected += "gone"
		m.gone(m.slot)
	case r.want != "":
		expected += r.want
		final = m.shows(r.want)
	default:
		expected += "bound"
		final = m.bound(m.slot, "igb").State
	}
	took := time.Since(began)
	verdict := m.verdict(final)
	return fmt.Sprintf("%-36s %-18s %-40s %-40s %-9s %5.1f s", r.fault, r.when.name, expected, seen+final, verdict, took.Seconds())
}

// shows waits for a state and reason, such as "unavailable no-space", and
// returns what shows then.
func (m *matrix) shows(want string) string {
	m.Helper()
	state, reason, _ := strings.Cut(want, " ")
	m.refusedAnew(m.slot, state, reason)
	return want
}

// verdict is that of rpm and dnf, when all has come to rest.
func (m *matrix) verdict(state string) string {
	m.Helper()
	m.idle()
	// DNF ends what it has begun, whoever has been killed or unplugged meanwhile.
	m.until("! systemd-inhibit --list --no-legend | grep -w block")
	verdict := "clean"
	if state == "bound" {
		m.until("rpm -q kernel-modules-sriov")
	}
	if got := m.sh("rpm -Va || true"); got != m.pristine {
		m.Errorf("rpm -Va: %s\nat the start: %s", got, m.pristine)
		verdict = "not clean"
	}
	if run, err := m.vm.Run(m.patient(), "dnf5 -q check"); err != nil || run.Code != 0 {
		m.Errorf("dnf5 check: %v %s%s", err, run.Stdout, run.Stderr)
		verdict = "not clean"
	}
	if got := m.sh(`for p in $(rpm -qa 'kernel*'); do rpm -q --provides $p | grep -q -- "-uname-r = $(uname -r)\$" || echo $p; done`); got != "" {
		m.Errorf("packages of another kernel are installed: %s", got)
		verdict = "not clean"
	}
	return verdict
}

// heal makes all well that a row can break.
func (m *matrix) heal() {
	m.Helper()
	m.repo.serve(m.good, nil)
	m.sh(`rm -f /run/hold-depmod; ln -sf ../bin/kmod /usr/sbin/depmod`)
}

// fresh makes dnf forget what it knows of the repositories, as it does by itself
// after some hours: what it sees then is another one.
func (m *matrix) fresh() {
	m.sh("systemctl stop dnf5daemon-server.service; rm -rf /var/cache/dnf5daemon-server/* /var/cache/libdnf5/*")
}

// reset makes the guest what it was before the last row.
func (m *matrix) reset() {
	m.Helper()
	m.heal()
	if !m.out {
		m.unplug("nic")
	}
	m.out = false
	m.gone(m.slot)
	m.idle()
	m.sh(`set -e
if test -e /sys/module/igb; then rmmod igb; fi
for p in $(rpm -qa kernel-modules-sriov lab-slow); do rpm -e --notriggers $p; done
rm -rf /var/lib/rpm-state/kernel*
cp -a /root/index/. /lib/modules/$(uname -r)/
rm -rf /var/cache/dnf5daemon-server/*/packages
sync # or the next row's reset would undo it`)
}

// TestFaultMatrix is the matrix. Two guests share it: most of the time each waits.
func TestFaultMatrix(t *testing.T) {
	lab.Progress = os.Stdout
	if err := lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	image, err := lab.BuildImage(t.Context(), rpm(t))
	if err != nil {
		t.Fatal(err)
	}
	all := rows(t, image.Repo)
	lines := make([]string, len(all))
	const guests = 2
	t.Run("in", func(t *testing.T) {
		for n := range guests {
			t.Run(fmt.Sprintf("guest %d", n+1), func(t *testing.T) {
				t.Parallel()
				repo := newFaulty(image.Repo)
				m := &matrix{guest: boot(t, lab.Options{Image: image, Repo: repo}), repo: repo, good: image.Repo}
				m.until("test -s /var/lib/driverd/catalog-$(uname -r).json")
				m.sh("mkdir /root/index && cp -a /lib/modules/$(uname -r)/modules.* /root/index/ && sync")
				m.pristine = m.sh("rpm -Va || true")
				for i := n; i < len(all); i += guests {
					r := all[i]
					lines[i] = fmt.Sprintf("%-36s %-18s FAILED", r.fault, r.when.name)
					well := true // if not even reset works, the guest is of no use any more
					t.Run(r.fault+", "+r.when.name, func(t *testing.T) {
						m.guest = m.in(t)
						defer func() {
							well = false
							if t.Failed() {
								t.Log(m.sh("journalctl -n 60 -o short-precise -u 'driverd*' -u dnf5daemon-server.service"))
							}
							m.reset()
							well = true
						}()
						lines[i] = m.try(r)
						_, _ = fmt.Println("lab: " + lines[i])
					})
					if !well {
						break
					}
				}
			})
		}
	})
	_, _ = fmt.Printf("table: %-36s %-18s %-40s %-40s %-9s %s\n", "fault", "when", "expected", "seen", "rpm, dnf", "recovery")
	for _, line := range lines {
		_, _ = fmt.Println("table: " + line)
	}
}
