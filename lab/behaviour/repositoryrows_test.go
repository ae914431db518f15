// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"driverd/lab/rpmrepo"
)

const unreachable = "unavailable repo-unreachable"

// packages are faults of what is downloaded, the repository's metadata being well.
func packages() []row {
	broken := func(name string, f rpmrepo.Fault) row {
		return row{
			fault: "repository: " + name, when: start(func(m *matrix) { m.repo.Fail(".rpm", f) }),
			meanwhile: unreachable, heal: free,
		}
	}
	const fill = `set -e
cp -a %[1]s /root/full && mount -t tmpfs -o mode=755,size=$(($(du -sk %[1]s | cut -f1) + 4096))k none %[1]s
cp -a /root/full/. %[1]s && rm -r /root/full`
	full := func(name, place string) row {
		return row{
			fault: "no space in " + name,
			when: start(func(m *matrix) {
				m.sh("systemctl stop dnf5daemon-server.service")
				m.sh(fill, place)
			}),
			meanwhile: "unavailable no-space",
			heal:      func(m *matrix) { m.sh("! mountpoint -q %[1]s || mount -o remount,size=512m %[1]s", place) },
		}
	}
	return []row{
		broken("refused", rpmrepo.Refuse),
		broken("package truncated", rpmrepo.Truncated),
		broken("wrong checksum", rpmrepo.Garbled),
		broken("package missing", rpmrepo.NotFound),
		// dnf gives a dead server up after half a minute, and asks again.
		{fault: "repository: stalls", when: downloading(rpmrepo.Stall), strike: downloading(rpmrepo.Stall).reach, heal: free},
		{fault: "repository: slow", when: downloading(rpmrepo.Slow), meanwhile: "installing", heal: free},
		full("dnf's cache", "/var/cache/dnf5daemon-server"),
		full("/lib/modules", "/lib/modules/$(uname -r)"),
		{fault: "%post fails", when: start(func(m *matrix) {
			m.sh("rm -rf /var/lib/rpm-state/kernel; mkdir -p /var/lib/rpm-state; touch /var/lib/rpm-state/kernel") // where it makes a folder
		})},
		{fault: "%posttrans fails", when: start(func(m *matrix) { m.depmod("exit 1") })},
	}
}

// otherRepositories are others than the one that driverd has learned the catalog
// from.
func otherRepositories() []row {
	back := func(m *matrix) {
		m.repo.Become(m.good)
		m.repo.Fail("", rpmrepo.NoFault)
		m.fresh()
	}
	other := func(r row, change func(m *matrix, dir string)) row {
		r.fault, r.heal = "repository: "+r.fault, back
		r.when = start(func(m *matrix) {
			m.repo.Become(variant(m.T, m.good, func(dir string) { change(m, dir) }))
			m.fresh()
		})
		return r
	}
	const untrusted, stale = "blocked untrusted-package", "unavailable stale-kernel"
	return []row{
		{
			fault: "repository: nothing answers",
			when: start(func(m *matrix) {
				m.repo.Fail("", rpmrepo.Refuse)
				m.fresh()
			}),
			meanwhile: unreachable, heal: free,
		},
		other(row{fault: "a stranger's signature", want: untrusted}, func(m *matrix, dir string) {
			rewritten(m.T, dir, "kernel-modules-sriov-"+m.release+".*", func(rpm string) { signedByStranger(m.T, rpm) })
		}),
		other(row{fault: "not signed", want: untrusted}, func(m *matrix, dir string) {
			rewritten(m.T, dir, "kernel-modules-sriov-"+m.release+".*", func(rpm string) { withoutSignature(m.T, rpm) })
		}),
		other(row{fault: "an older build only", meanwhile: stale}, func(m *matrix, dir string) {
			removed(m.T, dir, "kernel-*.rpm")
			older := rpmrepo.Package{Name: "kernel-modules-sriov", Version: "1.0", Release: "1", Unsigned: true, Provides: []string{
				"kernel-modules-sriov-uname-r = 1.0-1", "kmod(igb.ko)", "modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*)",
			}}
			if err := rpmrepo.Build(m.Context(), dir, nil, []rpmrepo.Package{older}); err != nil {
				m.Fatal(err)
			}
		}),
		other(row{fault: "a newer build only", meanwhile: stale}, func(m *matrix, dir string) {
			removed(m.T, dir, "kernel-*-"+m.release+".*")
		}),
	}
}
