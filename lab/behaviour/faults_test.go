// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/rpmrepo"
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
	heal      func(m *matrix) // ends the fault, and does nothing else

	// The state at the end, while the fault lasts; empty for bound when it is over.
	want string
}

// matrix is a guest that one row after another is tried on.
type matrix struct {
	guest
	repo     *rpmrepo.Repository
	good     string // folder of the repository that is well
	release  string // of the running kernel
	slot     hwdetect.Slot
	out      bool   // the card is not there
	healed   bool   // the fault is over
	jobs     int    // that the guest's driverd had begun when the row did, if it has not been reset since
	lost     int    // that driverd had begun before the guest was reset
	pristine string // what rpm -Va says of a guest to which nothing has happened
}

const rowFormat = "%-38s %-18s %-40s %-40s %-5s %-9s %s"

// try tries one row and returns its line of the table.
func (m *matrix) try(r row) string {
	m.Helper()
	m.jobs, m.lost, m.out, m.healed = m.begun(), 0, true, false
	if r.when.before != nil {
		r.when.before(m)
	}
	m.slot = m.plug("nic", "igb")
	m.out = false
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
	if r.want == "" {
		m.heal(r)
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
	tries := m.lost + m.begun() - m.jobs
	return fmt.Sprintf(rowFormat, r.fault, r.when.name, expected, seen+final, strconv.Itoa(tries), verdict, fmt.Sprintf("%5.1f s", took.Seconds()))
}

// shows waits for a state and a reason, such as "unavailable no-space", or for a
// state that needs none, and returns what shows then.
func (m *matrix) shows(want string) string {
	m.Helper()
	state, reason, explained := strings.Cut(want, " ")
	if explained {
		m.refusedAnew(m.slot, state, reason)
	} else {
		m.await(m.slot, state)
	}
	return want
}

// verdict is that of rpm and dnf, when all has come to rest.
func (m *matrix) verdict(state string) string {
	m.Helper()
	if state == "bound" { // which it may be of a package that is not whole yet
		m.until("rpm -q kernel-modules-sriov")
	}
	m.idle()
	// DNF ends what it has begun, whoever has been killed or unplugged meanwhile.
	m.until("! systemd-inhibit --list --no-legend | grep -w block")
	for line := range strings.Lines(m.sh(`rpm -qa --qf '%%{NAME} %%{VERSION}-%%{RELEASE}\n' 'kernel*'`)) {
		name, release, _ := strings.Cut(strings.TrimSpace(line), " ")
		if release != m.release {
			m.Errorf("%s of another kernel is installed: %s", name, release)
		}
	}
	if got := m.sh("rpm -Va || true"); got != m.pristine {
		m.Errorf("rpm -Va: %s\nat the start: %s", got, m.pristine)
	}
	if run, err := m.vm.Run(m.patient(), "dnf5 -q check"); err != nil || run.Code != 0 {
		m.Errorf("dnf5 check: %v %s%s", err, run.Stdout, run.Stderr)
	}
	if m.Failed() {
		return "not clean"
	}
	return "clean"
}

// heal ends the fault of a row, once.
func (m *matrix) heal(r row) {
	m.Helper()
	if r.heal != nil && !m.healed {
		r.heal(m)
	}
	m.healed = true
}

// free ends what is wrong with the repository, and what holds a scriptlet.
func free(m *matrix) {
	m.Helper()
	m.repo.Fail("", rpmrepo.NoFault)
	m.sh("rm -f /run/hold-depmod")
}

// fresh makes dnf forget what it knows of the repositories, as it does by itself
// after some hours: what it sees then is another one.
func (m *matrix) fresh() {
	m.Helper()
	m.sh("systemctl stop dnf5daemon-server.service; rm -rf /var/cache/dnf5daemon-server/* /var/cache/libdnf5/*")
}

// reset makes the guest what it was before the last row, which may have failed
// anywhere.
func (m *matrix) reset(r row) {
	m.Helper()
	m.heal(r)
	free(m)
	if !m.out {
		m.unplug("nic")
	}
	m.gone(m.slot)
	m.idle()
	m.sh(`set -e
if test -e /sys/module/igb; then rmmod igb; fi
for p in $(rpm -qa kernel-modules-sriov lab-slow); do rpm -e --notriggers $p; done
for full in /var/cache/dnf5daemon-server /lib/modules/$(uname -r); do
	# udev keeps the index of the modules open until it sees another one.
	if mountpoint -q $full; then systemctl stop dnf5daemon-server.service; umount --lazy $full; fi
done
rm -rf /var/lib/rpm-state/kernel* /var/cache/dnf5daemon-server/*/packages
cp -a /root/index/. /lib/modules/$(uname -r)/
sync # or the next row's reset would undo it`)
	m.depmod("")
	if d := time.Until(time.Unix(m.clock(), 0)).Abs(); d > time.Hour {
		m.sh("date -s @%d", time.Now().Unix())
	}
}

func (m *matrix) clock() int64 {
	m.Helper()
	seconds, err := strconv.ParseInt(m.sh("date +%%s"), 10, 64)
	if err != nil {
		m.Fatal(err)
	}
	return seconds
}

// prepare makes a guest one to try rows on.
func (m *matrix) prepare() {
	m.Helper()
	m.sh("mkdir /root/index && cp -a /lib/modules/$(uname -r)/modules.* /root/index/ && sync")
	m.depmod("")
	m.pristine = m.sh("rpm -Va || true")
}

// TestFaultMatrix is the matrix. Some guests share it: most of the time each waits.
func TestFaultMatrix(t *testing.T) { tryRows(t, 3, rows()) }

// TestFaults tries one row of each kind of fault.
func TestFaults(t *testing.T) {
	all := oneOfEachKind()
	if len(all) != len(kind) {
		t.Fatalf("the matrix has %d of the %d rows that are to be tried", len(all), len(kind))
	}
	tryRows(t, 2, all)
}

// tryRows tries rows on so many guests, and shows the table.
func tryRows(t *testing.T, guests int, all []row) {
	image := buildImage(t)
	good := variant(t, image.Repo, withSlow(t))
	lines := make([]string, len(all))
	var next atomic.Int32
	var running sync.WaitGroup
	for n := range guests {
		running.Go(func() { // not t.Parallel: that is for as many as there are processors
			t.Run(fmt.Sprintf("guest %d", n+1), func(t *testing.T) {
				repo := rpmrepo.NewRepository(good)
				m := &matrix{guest: resume(t, lab.Options{Image: image, Repo: repo}), repo: repo, good: good, release: image.Release}
				m.prepare()
				for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
					r := all[i]
					lines[i] = fmt.Sprintf("%-38s %-18s FAILED", r.fault, r.when.name)
					well := true // if not even reset works, the guest is of no use any more
					t.Run(r.fault+", "+r.when.name, func(t *testing.T) {
						m.guest = m.in(t)
						defer func() {
							well = false
							if t.Failed() {
								t.Log(m.sh("journalctl -n 60 -o short-precise -u 'driverd*' -u dnf5daemon-server.service"))
							}
							m.reset(r)
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
		})
	}
	running.Wait()
	_, _ = fmt.Printf("table: "+rowFormat+"\n", "fault", "when", "expected", "seen", "tries", "rpm, dnf", "recovery")
	for _, line := range lines {
		_, _ = fmt.Println("table: " + line)
	}
}
