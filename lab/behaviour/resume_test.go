// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/lab"
)

// TestMainJob has a card come to a guest that has run for a while: its driver
// arrives, and that of its virtual functions with it.
func TestMainJob(t *testing.T) {
	t.Parallel()
	g := resume(t, lab.Options{})
	nic := g.plug("nic", "igb")
	g.bound(nic, "igb")
	g.sh("echo 1 >/sys/bus/pci/devices/%s/sriov_numvfs", nic)
	function, err := hwdetect.ParseSlot(g.sh("basename $(readlink /sys/bus/pci/devices/%s/virtfn0)", nic))
	if err != nil {
		t.Fatal(err)
	}
	g.bound(function, "igbvf")
	g.healthy()
}

// TestResume sees that a guest that was restored is what one is that has booted.
func TestResume(t *testing.T) {
	t.Parallel()
	image := buildImage(t)
	resumed := resume(t, lab.Options{Image: image})
	booted := boot(t, lab.Options{Image: image}, lab.Start{})
	booted.until("test -s /var/lib/driverd/catalog-$(uname -r).json && test -z \"$(systemctl list-jobs --no-legend)\"")

	t.Run("it is the same guest", func(t *testing.T) {
		for _, what := range []string{
			"cat /etc/machine-id /etc/hostname /proc/cmdline",
			"ip -brief address; ip route",
			"lspci -nnk -D; cat /proc/modules | cut -d' ' -f1 | sort",
			// Either may be at rest.
			"systemctl list-units --state=running,failed --type=service --plain --no-legend | cut -d' ' -f1 | grep -Ev '^(dnf5daemon-server|driverd).service'",
			"rpm -qa | sort; find /etc /usr -xdev -newer /etc/machine-id -type f | sort",
			"driverd status", "driverd history", "driverd explain 8086:10c9",
		} {
			if diff := cmp.Diff(booted.in(t).sh("%s", what), resumed.in(t).sh("%s", what)); diff != "" {
				t.Errorf("%s, booted (-) and restored (+):\n%s", what, diff)
			}
		}
	})

	t.Run("its clock is right", func(t *testing.T) {
		for who, g := range map[string]guest{"booted": booted.in(t), "restored": resumed.in(t)} {
			seconds, err := strconv.ParseInt(g.sh("date +%%s"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := time.Since(time.Unix(seconds, 0)); wrong.Abs() > 10*time.Second {
				t.Errorf("the clock of the %s guest is wrong by %s", who, wrong)
			}
		}
	})

	t.Run("a card and a transaction", func(t *testing.T) {
		var after []string
		for _, g := range []guest{booted.in(t), resumed.in(t)} {
			g.bound(g.plug("nic", "igb"), "igb")
			g.idle()
			g.healthy()
			after = append(after, g.sh("rpm -qa | sort; lspci -nnk -D; cat /proc/modules | cut -d' ' -f1 | sort; driverd status"))
		}
		if diff := cmp.Diff(after[0], after[1]); diff != "" {
			t.Errorf("booted (-) and restored (+):\n%s", diff)
		}
	})

	t.Run("a reboot, and a reset", func(t *testing.T) {
		g, nic := resumed.in(t), hwdetect.Slot{Bus: 1}
		before := g.sh("rpm -qa | sort; cat /etc/machine-id; lspci -nnk -D")
		if err := g.vm.Reboot(g.patient()); err != nil {
			t.Fatal(err)
		}
		g.bound(nic, "igb")
		g.sh("echo kept >/root/kept; sync")
		if err := g.vm.Reset(g.patient()); err != nil {
			t.Fatal(err)
		}
		g.bound(nic, "igb")
		if got := g.sh("cat /root/kept"); got != "kept" {
			t.Errorf("the disk holds %q", got)
		}
		if diff := cmp.Diff(before, g.sh("rpm -qa | sort; cat /etc/machine-id; lspci -nnk -D")); diff != "" {
			t.Errorf("before (-) and after (+):\n%s", diff)
		}
		g.healthy()
	})

	t.Run("another one of the same knows nothing of it", func(t *testing.T) {
		g := resume(t, lab.Options{Image: image})
		if got := g.subpackages(); len(got) != 1 {
			t.Errorf("it has %v", got)
		}
		g.sh("! test -e /root/kept")
		g.bound(g.plug("raid", "megasas"), "megaraid_sas")
	})
}
