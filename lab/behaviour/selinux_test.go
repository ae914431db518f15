// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"driverd/lab"
)

// selinuxScript tries what the policy forbids; see there.
//
//go:embed selinux.py
var selinuxScript string

// TestSELinux does the main job in a guest that enforces Debian's policy with driverd's
// module, and denies nothing of it. Then it tries, as root in each domain of driverd, what
// the policy forbids.
func TestSELinux(t *testing.T) {
	t.Parallel()
	g := boot(t, lab.Options{Image: imageBy(t, lab.BuildSELinuxImage)}, lab.Start{SELinux: true})
	if got := g.sh("getenforce && tr -d '\\0' </proc/self/attr/current"); got != "Enforcing\nsystem_u:system_r:unconfined_t:s0" {
		t.Fatalf("SELinux and the domain of an administrator: %s", got)
	}
	if got := g.sh("cat /proc/$(systemctl show -P MainPID driverd.service)/attr/current | tr -d '\\0'"); got != "system_u:system_r:driverd_t:s0" {
		t.Fatalf("the service runs as %s", got)
	}

	t.Run("the main job", func(t *testing.T) {
		g := g.in(t)
		nic := g.plug("nic", "igb")
		g.bound(nic, "igb")
		g.idle()

		// driverd had dnf5daemon started, and has the step stop it.
		g.until("! systemctl is-active -q dnf5daemon-server.service")

		g.sh("driverd status && systemctl reload driverd.service && systemctl restart driverd.service")
		g.bound(nic, "igb")
		// A unit that has no domain of its own calls the service.
		g.sh("install -d /var/lib/prometheus/node-exporter && systemctl start driverd-metrics.service && grep -x 'driverd_up 1' /var/lib/prometheus/node-exporter/driverd.prom")

		// These steps say what keeps them from their work, and from which domain.
		g.sh("echo %s >/sys/bus/pci/drivers/igb/unbind && modprobe -r igb && echo blacklist igb >/etc/modprobe.d/test.conf", nic)
		for unit, domain := range map[string]string{"driverd-install@100": "driverd_install_t", "driverd-load@" + nic.String(): "driverd_load_t"} {
			g.sh("systemctl start %s.service && journalctl --sync && journalctl -q -u %[1]s.service _SELINUX_CONTEXT=system_u:system_r:%s:s0 | grep .", unit, domain)
		}
		g.sh("rm /etc/modprobe.d/test.conf")

		if got := g.denials(); got != "" {
			t.Errorf("SELinux denies driverd:\n%s", got)
		}
		g.healthy()
	})

	t.Run("where there is no such domain the units run nevertheless", func(t *testing.T) {
		const run = "systemd-run --quiet --wait --property=SELinuxContext=%ssystem_u:system_r:nosuch_t:s0 true"
		g.in(t).sh(run+" && ! "+run, "-", "")
	})

	g.sh("echo %s | base64 -d >/run/selinux.py", base64.StdEncoding.EncodeToString([]byte(selinuxScript)))
	g.sh("for dir in /run /tmp /usr/share; do cp $(modinfo -n veth) $dir; done")
	for _, domain := range []string{"driverd_t", "driverd_install_t", "driverd_load_t"} {
		t.Run(domain, func(t *testing.T) { g.in(t).confined(domain) })
	}
}

// denials are what SELinux has denied to a domain of driverd, or to others about it.
func (g guest) denials() string {
	g.Helper()
	return g.sh("journalctl -b -q -o cat | grep 'avc: *denied' | grep driverd_ || true")
}

// confined sees that root cannot do in a domain what the policy forbids there.
func (g guest) confined(domain string) {
	g.Helper()
	unit := strings.ReplaceAll(domain, "_", "-") + "-test.service"
	g.sh(`module=$(modinfo -n veth)
		systemd-run --quiet --wait --unit=%s --property=SELinuxContext=system_u:system_r:%s:s0 \
		/usr/bin/python3 -c "$(cat /run/selinux.py)" %[2]s $module /run/${module##*/} /tmp/${module##*/} /usr/share/${module##*/}`, unit, domain)
	said := g.sh("journalctl --sync && journalctl -q -o cat -u %s | grep ^%s", unit, domain)
	for line := range strings.Lines(said) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 {
			g.Errorf("%s says: %s", domain, line)
			continue
		}
		what, answer := fields[1], fields[2]
		_, _ = fmt.Printf("table: %-18s %-70s %s\n", domain, what, answer)
		denied := answer == "Permission denied" || answer == "Operation not permitted" || strings.Contains(answer, "SELinux policy denies access")
		if may := strings.HasPrefix(what, "may: "); may && answer != "DONE" || !may && !denied {
			g.Errorf("%s: %s: %s", domain, what, answer)
		}
	}
	if !strings.Contains(said, "\tmay: ") || g.denials() == "" {
		g.Errorf("%s has not tried everything, or the log has no denial:\n%s", domain, said)
	}
}
