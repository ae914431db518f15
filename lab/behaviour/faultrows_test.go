// SPDX-License-Identifier: Apache-2.0

//go:build lab && faults

package behaviour_test

import (
	"testing"

	"driverd/lab/rpmrepo"
)

// at is the moment when the card's timeline has the step.
func at(step string) moment {
	return moment{name: step, script: `until busctl get-property org.fedoraproject.Driverd1 $SLOT org.fedoraproject.Driverd1.Device Timeline 2>&1 | grep -q '"` + step + `"'; do :; done`}
}

// start is before the card is there.
func start(before func(m *matrix)) moment { return moment{name: "from the start", before: before} }

// downloading holds the package's download, and waits for it to begin.
var downloading = moment{
	name:   "downloading",
	before: func(m *matrix) { m.repo.serve(m.good, onPackages(m.repo.stall)) },
	reach:  func(m *matrix) { m.asked() },
}

func (m *matrix) asked() {
	m.Helper()
	select {
	case <-m.repo.asked:
	case <-m.patient().Done():
		m.Fatal("nobody asked for the package")
	}
}

// scriptlet holds the depmod of the package's scriptlets, not that of the load
// step. It outlives a reset, which ends the holding.
var scriptlet = moment{
	name: "in a scriptlet",
	before: func(m *matrix) {
		m.depmod(`touch /run/in-scriptlet; while [ -e /run/hold-depmod ]; do sleep 0.1; done`)
	},
	script: "until test -e /run/in-scriptlet; do sleep 0.1; done",
}

// depmod makes the packages' depmod do something else first.
func (m *matrix) depmod(first string) {
	m.Helper()
	m.sh(`mkdir -p /usr/lib/lab; ln -sf /usr/bin/kmod /usr/lib/lab/depmod
rm -f /run/in-scriptlet /usr/sbin/depmod; touch /run/hold-depmod
cat >/usr/sbin/depmod <<'END'
#!/bin/sh
case "$1" in -a) %s ;; esac
exec /usr/lib/lab/depmod "$@"
END
chmod +x /usr/sbin/depmod`, first)
}

const killDriverd = "systemctl kill --signal=KILL driverd.service"

func resetGuest(m *matrix) {
	m.Helper()
	if err := m.vm.Reset(m.patient()); err != nil {
		m.Fatal(err)
	}
}

func takeOut(m *matrix) {
	m.unplug("nic")
	m.out = true
}

// rows are the matrix. Where one is healed at once, its fault is over as soon as
// it has struck.
func rows(t *testing.T, good string) []row {
	free := func(m *matrix) { m.heal() }
	var all []row
	for _, step := range []string{"seen", "decided", "resolved", "downloaded", "unpacked", "loaded", "bound"} {
		all = append(all, row{fault: "driverd killed", when: at(step), script: killDriverd})
	}
	transaction := at("downloaded")
	transaction.name = "in the transaction"
	const killDNF = "systemctl kill --signal=KILL dnf5daemon-server.service"
	all = append(all,
		row{fault: "dnf5daemon killed", when: downloading, script: killDNF, heal: free},
		row{fault: "dnf5daemon killed", when: scriptlet, script: killDNF, heal: free},
		row{fault: "the guest reset", when: downloading, strike: resetGuest, heal: free},
		row{fault: "the card taken out", when: downloading, strike: takeOut, heal: free},
		row{fault: "the card taken out", when: transaction, strike: takeOut},
		row{fault: "the card taken out", when: scriptlet, strike: takeOut, heal: free},
	)

	// What is wrong with the packages is so until it has been seen, and then not.
	packages := func(name, meanwhile string, f fault) row {
		return row{
			fault: name, when: start(func(m *matrix) { m.repo.serve(m.good, onPackages(f)) }),
			meanwhile: meanwhile, heal: free,
		}
	}
	const unreachable = "unavailable repo-unreachable"
	// Another repository than the one that driverd has learned the catalog from.
	other := func(r row, change func(dir string)) row {
		r.when = start(func(m *matrix) {
			m.repo.serve(variant(t, good, change), nil)
			m.fresh()
		})
		return r
	}
	back := func(m *matrix) {
		m.heal()
		m.fresh()
	}
	return append(all,
		packages("repository: refused", unreachable, refuse),
		packages("repository: package truncated", unreachable, truncated),
		packages("repository: wrong checksum", unreachable, garbled),
		packages("repository: package missing", unreachable, missing),
		// dnf gives up after half a minute, and asks again.
		row{fault: "repository: stalls", when: downloading, strike: func(m *matrix) { m.asked() }, heal: free},
		other(row{fault: "repository: a stranger's signature", want: "blocked untrusted-package"}, func(dir string) {
			rewritten(t, dir, "kernel-modules-sriov-7*.rpm", func(rpm string) { signedByStranger(t, rpm) })
		}),
		other(row{fault: "repository: an older build only", meanwhile: "unavailable stale-kernel", heal: back}, func(dir string) {
			removed(t, dir, "kernel-*.rpm")
			older := rpmrepo.Package{Name: "kernel-modules-sriov", Version: "1.0", Release: "1", Unsigned: true, Provides: []string{
				"kernel-modules-sriov-uname-r = 1.0-1", "kmod(igb.ko)", "modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*)",
			}}
			if err := rpmrepo.Build(t.Context(), dir, nil, []rpmrepo.Package{older}); err != nil {
				t.Fatal(err)
			}
		}),
	)
}
