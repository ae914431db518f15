// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"slices"

	"driverd/lab/rpmrepo"
)

// rows are the matrix.
func rows() []row {
	return slices.Concat(backend(), packages(), otherRepositories(), surroundings(), kills(), hotplug()) // the longest first
}

// kind names one row of each kind of fault, by the fault and the moment. They are
// such as do not make driverd wait long.
var kind = map[string]string{
	"dnf5daemon restarted":        "downloading",
	"repository: package missing": "from the start",
	"no space in dnf's cache":     "from the start",
	"repository: not signed":      "from the start",
	"polkit denies":               "from the start",
	"driverd killed":              "unpacked",
	"the install step killed":     "in the transaction",
	"the guest reset":             "in the transaction",
	"the card taken out":          "in a scriptlet",
}

// oneOfEachKind are the rows of which there is one of each kind of fault.
func oneOfEachKind() []row {
	return slices.DeleteFunc(rows(), func(r row) bool { return kind[r.fault] != r.when.name })
}

// steps are those of a card's timeline.
var steps = []string{"seen", "decided", "resolved", "downloaded", "unpacked", "loaded", "bound", "settled"}

// kills end a process, or all of them at once.
func kills() []row {
	var all []row
	const (
		killService = "systemctl kill --signal=KILL driverd.service"
		killStep    = "systemctl kill --signal=KILL 'driverd-install@*.service'"
	)
	for _, step := range steps {
		all = append(all, row{fault: "driverd killed", when: at(step), script: killService})
	}
	const killDNF = "systemctl kill --signal=KILL dnf5daemon-server.service"
	stalled := downloading(rpmrepo.Stall)
	return append(all,
		row{fault: "dnf5daemon killed", when: stalled, script: killDNF, heal: free},
		row{fault: "dnf5daemon killed", when: transaction(), script: killDNF},
		row{fault: "dnf5daemon killed", when: scriptlet(), script: killDNF, heal: free},
		row{fault: "the install step killed", when: stalled, script: killStep, heal: free},
		row{fault: "the install step killed", when: transaction(), script: killStep},
		row{fault: "the install step killed", when: scriptlet(), script: killStep, heal: free},
		row{fault: "driverd killed", when: stalled, script: killService, heal: free},
		row{fault: "driverd killed", when: scriptlet(), script: killService, heal: free},
		row{fault: "driverd and the step killed", when: stalled, script: killService + "; " + killStep, heal: free},
		row{fault: "driverd and the step killed", when: transaction(), script: killService + "; " + killStep},
		row{fault: "both killed, the guest reset", when: transaction(), script: killService + "; " + killStep, strike: resetGuest},
		row{fault: "the guest reset", when: stalled, strike: resetGuest, heal: free},
		row{fault: "the guest reset", when: transaction(), strike: resetGuest},
		row{fault: "the guest reset", when: scriptlet(), strike: resetGuest},
		row{fault: "the guest reset", when: at("loaded"), strike: resetGuest},
		row{fault: "the guest reset", when: at("bound"), strike: resetGuest},
	)
}

func resetGuest(m *matrix) {
	m.Helper()
	m.lost, m.jobs = m.begun()-m.jobs, 0
	if err := m.vm.Reset(m.patient()); err != nil {
		m.Fatal(err)
	}
}

// hotplug takes the card away.
func hotplug() []row {
	takeOut := func(m *matrix) {
		m.unplug("nic")
		m.out = true
	}
	var all []row
	for _, when := range []moment{
		at("seen"), at("decided"), at("resolved"), downloading(rpmrepo.Stall), transaction(), at("unpacked"), scriptlet(), at("loaded"), at("bound"),
	} {
		all = append(all, row{fault: "the card taken out", when: when, strike: takeOut, heal: free})
	}
	return all
}

// Without driverd's rule, polkit lets nobody install for it.
const (
	polkitDenies = "mv /usr/share/polkit-1/rules.d/50-driverd.rules /root/ && systemctl restart polkit.service"
	polkitAllows = "if test -e /root/50-driverd.rules; then mv /root/50-driverd.rules /usr/share/polkit-1/rules.d/ && systemctl restart polkit.service; fi"
)

// surroundings are what else a guest has.
func surroundings() []row {
	stalled := downloading(rpmrepo.Stall)
	forward := moment{name: "in the transaction", before: func(m *matrix) { m.sh("date -s '1 day'") }, script: transaction().script}
	return []row{
		{
			fault: "the bus restarted", when: stalled, script: "systemctl restart dbus.service", heal: free,
		},
		{
			fault: "polkit denies", when: start(func(m *matrix) { m.sh(polkitDenies) }),
			meanwhile: "blocked not-authorized", heal: func(m *matrix) { m.sh(polkitAllows) },
		},
		{fault: "the package removed, without depmod", when: start(func(m *matrix) {
			m.sh(`dnf5 -qy install kernel-modules-sriov-$(uname -r) && rpm -e --noscripts --notriggers kernel-modules-sriov
igb=/lib/modules/$(uname -r)/$(sed -n 's/:.*//; /igb.ko/p' /lib/modules/$(uname -r)/modules.dep) && ! test -e $igb`)
		})},
		{fault: "the clock jumps a day on", when: stalled, script: "date -s '1 day'", heal: free},
		{fault: "the clock jumps a day back", when: forward, script: "date -s '-1 day'"},
	}
}
