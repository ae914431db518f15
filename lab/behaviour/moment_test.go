// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"driverd/lab/rpmrepo"
)

// moment is one on a card's way to its driver.
type moment struct {
	name   string
	before func(m *matrix) // prepares it, before the card is there
	reach  func(m *matrix) // returns at that moment
	script string          // ends at that moment in the guest
}

// start is before the card is there.
func start(before func(m *matrix)) moment { return moment{name: "from the start", before: before} }

// at is the moment when the card's timeline has the step.
func at(step string) moment {
	return moment{name: step, script: `until busctl get-property org.fedoraproject.Driverd1 $SLOT org.fedoraproject.Driverd1.Device Timeline 2>&1 | grep -q '"` + step + `"'; do sleep 0.1; done`}
}

// transaction is when nothing can hold the packages back any more.
func transaction() moment {
	m := at("downloaded")
	m.name = "in the transaction"
	return m
}

// downloading is when the package has been asked for, of a repository that has a
// fault from then on.
func downloading(f rpmrepo.Fault) moment {
	return moment{
		name:   "downloading",
		before: func(m *matrix) { m.repo.Fail(".rpm", f) },
		reach: func(m *matrix) {
			m.Helper()
			if err := m.repo.WaitFor(m.patient(), ".rpm"); err != nil {
				m.Fatal(err)
			}
		},
	}
}

// scriptlet holds the depmod of the package's scriptlets, not that of the load
// step, until the matrix heals the guest, or the guest is reset.
func scriptlet() moment {
	return moment{
		name: "in a scriptlet",
		before: func(m *matrix) {
			m.sh("touch /run/hold-depmod")
			m.depmod(`touch /run/in-scriptlet; while [ -e /run/hold-depmod ]; do sleep 0.1; done`)
		},
		script: "until test -e /run/in-scriptlet; do sleep 0.1; done",
	}
}

// depmod makes the packages' depmod, not that of the load step, do something
// first. It survives a reset. What it writes is what the first one in this guest
// wrote: depmod is most of a transaction's time, and always writes the same.
func (m *matrix) depmod(first string) {
	m.Helper()
	m.sh(`mkdir -p /usr/lib/lab; ln -sf /usr/bin/kmod /usr/lib/lab/depmod
rm -f /run/in-scriptlet
cat >/usr/sbin/depmod.new <<'END'
#!/bin/sh -e
if [ "$1" != -a ]; then exec /usr/lib/lab/depmod "$@"; fi
%s
if [ ! -e /root/indexed ]; then
	/usr/lib/lab/depmod "$@"
	mkdir -p /root/indexed.new
	cp -a /lib/modules/$2/modules.* /root/indexed.new/
	sync
	mv /root/indexed.new /root/indexed
else
	cp -a /root/indexed/. /lib/modules/$2/
fi
END
chmod +x /usr/sbin/depmod.new; mv /usr/sbin/depmod.new /usr/sbin/depmod; sync`, first)
}
