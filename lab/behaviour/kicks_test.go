// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"testing"
	"time"

	"driverd/lab"
)

// TestKicks ends what keeps a driver away, from outside of driverd. Nobody asks
// for a rescan.
func TestKicks(t *testing.T) {
	t.Parallel()
	g := resume(t, lab.Options{})

	t.Run("the network comes back", func(t *testing.T) {
		g := g.in(t)
		g.sh("ip link set lab0 down")
		slot := g.plug("nic", "igb")
		g.refused(slot, "unavailable", "repo-unreachable")
		g.sh("ip link set lab0 up")
		began := time.Now()
		if _, err := g.vm.AwaitState(g.patient(), slot, nil, "installing", "loading", "bound"); err != nil {
			t.Fatal(err)
		}
		// By itself it would be tried after half a minute.
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it was tried again only %s after the network was back", took)
		} else {
			t.Logf("tried again %.1f s after the network was back", took.Seconds())
		}
		g.bound(slot, "igb")
		g.idle()
	})

	t.Run("the repository with the kernel is enabled", func(t *testing.T) {
		g := g.in(t)
		g.sh("sed -i s/enabled=1/enabled=0/ /etc/yum.repos.d/lab.repo")
		slot := g.plug("raid", "megasas")
		g.refusedAnew(slot, "unavailable", "stale-kernel")
		began := time.Now()
		g.sh("sed -i s/enabled=0/enabled=1/ /etc/yum.repos.d/lab.repo")
		g.bound(slot, "megaraid_sas")
		t.Logf("bound %.1f s after the repository was enabled", time.Since(began).Seconds())
		g.idle()
	})

	t.Run("the package is installed by hand", func(t *testing.T) {
		g := g.in(t)
		g.sh("sed -i s/enabled=1/enabled=0/ /etc/yum.repos.d/lab.repo")
		slot := g.plugDevice(lab.BochsDisplay("display"))
		g.refusedAnew(slot, "unavailable", "stale-kernel")
		g.sh(`dnf5 -y --enable-repo=lab install "$(rpm -q --provides kernel-modules-sriov | sed -n 's/^kernel-modules-sriov-uname-r/kernel-modules-gpu-uname-r/p')"`)
		began := time.Now()
		g.bound(slot, "bochs-drm")
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it was loaded only %s after it was installed", took)
		}
		g.sh("sed -i s/enabled=0/enabled=1/ /etc/yum.repos.d/lab.repo")
		g.healthy()
	})
}
