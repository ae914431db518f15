// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"strings"
	"testing"

	"driverd/api"
	"driverd/lab"
)

// rests waits until the service has ended as there is nothing to do.
func (g guest) rests() {
	g.Helper()
	g.until("test -e %s && systemctl show -P ActiveState driverd.service | grep -qx inactive", api.RestFile)
	if got := g.sh("systemctl show -P Result driverd.service; pgrep -x driverd || echo none"); got != "success\nnone" {
		g.Errorf("at rest it is %q", got)
	}
}

// wakes waits until it runs again.
func (g guest) wakes() {
	g.Helper()
	g.until("systemctl is-active -q driverd.service")
	g.sh("! test -e %s", api.RestFile)
}

// TestAtRest lets the service end as there is nothing to do, which it does in a guest of this
// size, and has all that can start it do so.
func TestAtRest(t *testing.T) {
	t.Parallel()
	g := resume(t, lab.Options{})
	g.sh("systemd-run -q --unit=watch driverd watch")
	g.rests() // whoever watches does not keep it
	if got := g.sh("systemctl status driverd.service || true"); !strings.Contains(got, "At rest: nothing is to do") {
		t.Errorf("systemctl status says %s", got)
	}

	t.Run("a device", func(t *testing.T) {
		g := g.in(t)
		nic := g.plug("nic", "igb")
		g.until("readlink /sys/bus/pci/devices/%s/driver | grep -q /igb$", nic) // nobody has asked
		g.bound(nic, "igb")
		g.sh("journalctl -u watch.service -o cat | grep '%s .*bound'", nic)
		t.Log(g.sh("systemctl show -P CPUUsageNSec driverd.service"))
		g.idle()
		g.sh("systemctl restart driverd.service") // a job can be read for ten minutes
		g.rests()
	})

	t.Run("what was known is known again", func(t *testing.T) {
		g := g.in(t)
		nic := g.slot("nic")
		g.sh("modprobe -r igb")
		g.sh("driverd status")
		g.refused(nic, "blocked", "unbound")
		g.rests()
		g.sh("driverd rescan")
		g.bound(nic, "igb")
		g.rests()
	})

	t.Run("a file", func(t *testing.T) {
		g := g.in(t)
		g.sh(`echo 'idle_exit = "never"' >/etc/driverd/driverd.toml`)
		g.wakes()
		g.sh("rm /etc/driverd/driverd.toml; systemctl reload driverd.service")
		g.rests()
		g.sh("mkdir /lib/modules/0.1; rmdir /lib/modules/0.1")
		g.wakes()
		g.rests()
	})

	t.Run("a question", func(t *testing.T) {
		g := g.in(t)
		if got := g.sh("driverd status --json | grep -c '\"slot\"'"); got == "0" {
			t.Error("it knows no device")
		}
		g.wakes()
		g.rests()
		g.sh("busctl get-property org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.fedoraproject.Driverd1.Manager Status")
		g.wakes()
		g.rests()
		g.sh("driverd metrics | grep -qx 'driverd_up 1'") // which lets it rest
		g.sh("test -e %s", api.RestFile)
	})

	t.Run("devices that come while it ends", func(t *testing.T) {
		g := g.in(t)
		g.sh("driverd status >/dev/null; while systemctl is-active -q driverd.service; do :; done")
		for _, id := range []string{"a", "b", "c"} {
			slot := g.plug(id, "e1000e")
			g.until("readlink /sys/bus/pci/devices/%s/driver | grep -q /e1000e$", slot)
		}
	})

	t.Run("stopped by hand, it stays so", func(t *testing.T) {
		g := g.in(t)
		g.sh("systemctl stop driverd.service && ! systemctl is-active -q driverd-wake.path")
		g.plug("other", "igb")
		g.sh("mkdir /lib/modules/0.1; rmdir /lib/modules/0.1; udevadm settle; ! systemctl is-active -q driverd.service")
		g.sh("systemctl start driverd.service")
		g.healthy()
	})
}
