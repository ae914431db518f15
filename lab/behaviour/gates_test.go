// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"context"
	"encoding/base64"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"driverd/hwdetect"
	"driverd/lab"
)

// TestWhatKeepsADriverAway has every way in which a guest keeps a driver from a
// device, each made by what makes it in life, and then the gates. What cannot be
// undone without a reboot comes last.
func TestWhatKeepsADriverAway(t *testing.T) {
	t.Parallel()
	const denied, blacklisted, free = "megaraid_sas", "mptsas", "nvme" // of one package
	image := buildImage(t)
	g := boot(t, lab.Options{Image: image}, lab.Start{Words: []string{"lockdown=integrity", "module_blacklist=" + denied, "modprobe.blacklist=" + blacklisted}})

	t.Run("module_blacklist= and modprobe.blacklist=", func(t *testing.T) {
		g := g.in(t)
		raid, sas := g.plug("raid", "megasas"), g.plug("sas", "mptsas1068")
		g.says(raid, "blocked", "blacklisted", denied+` must not be loaded: "module_blacklist=`+denied+`" on the kernel command line`)
		g.says(sas, "blocked", "blacklisted", blacklisted+` must not be loaded: "modprobe.blacklist=`+blacklisted+`" on the kernel command line`)
		g.unplug("raid")
		g.unplug("sas")
	})

	t.Run("blacklist and install in modprobe.d", func(t *testing.T) {
		g := g.in(t)
		g.sh("echo blacklist %s >/etc/modprobe.d/test.conf; udevadm control --reload", free)
		slot := g.plugDevice(lab.NVMe("disk"))
		g.says(slot, "blocked", "blacklisted", free+` must not be loaded: "blacklist `+free+`" in /etc/modprobe.d/test.conf:1`)
		g.sh("echo install %s /bin/false >/etc/modprobe.d/test.conf", free)
		g.sh(rescan)
		g.says(slot, "blocked", "blacklisted", free+` must not be loaded: "install `+free+` /bin/false" in /etc/modprobe.d/test.conf:1`)
		if got := g.begun(); got != 0 {
			t.Errorf("%d transactions for modules that must not be loaded", got)
		}
		g.sh("driverd install 'kmod(%s.ko)'", free) // for its own sake
		g.says(slot, "blocked", "blacklisted", "/etc/modprobe.d/test.conf:1")
	})

	t.Run("lockdown, of a module without a signature", func(t *testing.T) {
		g := g.in(t)
		slot := hwdetect.Slot{Bus: 1}
		g.sh("cd /lib/modules/$(uname -r) && mv $(find -name 'nvme.ko*') /root/ && echo '%s' | base64 -d >$(dirname $(find -name 'nvme-core.ko*'))/nvme.ko.xz && depmod && rm /etc/modprobe.d/test.conf",
			base64.StdEncoding.EncodeToString(unsigned(t, image.Release, "kernel/drivers/nvme/host/nvme.ko.xz")))
		g.sh(rescan)
		g.says(slot, "blocked", "lockdown", "the kernel says: Lockdown: modprobe: unsigned module loading is restricted")
	})

	t.Run("module.sig_enforce=1, and the same module", func(t *testing.T) {
		g := g.in(t)
		g.sh("echo 1 >/sys/module/module/parameters/sig_enforce")
		g.sh(rescan)
		g.says(hwdetect.Slot{Bus: 1}, "blocked", "key-rejected", "signature of "+free)
		g.sh(`cd /lib/modules/$(uname -r) && cp /root/nvme.ko.* $(dirname $(find -name 'nvme-core.ko*')) && depmod`)
		g.sh(rescan)
		g.bound(hwdetect.Slot{Bus: 1}, "nvme")
		g.unplug("disk")
	})

	t.Run("the driver fails at the device", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("display", "bochs-display") // where its memory has no room
		g.says(slot, "failed", "probe-failed", "the kernel says: ", "no space")
		g.sh(rescan) // the module is loaded now, and nothing happens any more
		g.says(slot, "failed", "probe-failed", "the kernel says: ", "no space")
	})

	t.Run("no unit has failed", func(t *testing.T) {
		g := g.in(t)
		if got := g.sh("systemctl list-units --failed --no-legend --plain"); strings.Contains(got, "driverd") {
			t.Errorf("failed: %s", got)
		}
		if got := g.sh("systemctl show -P CapabilityBoundingSet driverd-load@0000:01:00.0.service"); got != "cap_sys_module" {
			t.Errorf("the load step has %s", got)
		}
		g.healthy()
	})

	t.Run("in a container", func(t *testing.T) {
		g := g.in(t)
		// Without a service, and a bus: what the guest can do is what counts.
		r, err := g.vm.Run(g.patient(), "systemd-nspawn --quiet --directory=/ --volatile=yes --pipe /usr/bin/driverd status")
		if err != nil || r.Code != 4 || !strings.Contains(r.Stdout, " is inactive (container)\n") {
			t.Errorf("in systemd-nspawn: %v %+v", err, r)
		}
		r, err = g.vm.Run(g.patient(), "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere unshare --pid --fork --mount-proc driverd status --json")
		if err != nil || r.Code != 4 || !strings.Contains(r.Stdout, `"reason": "container"`) {
			t.Errorf("in a PID namespace: %v %+v", err, r)
		}
		g.sh("mkdir -p /run/systemd/system/driverd.service.d /etc/driverd; printf '[Service]\nPrivatePIDs=yes\n' >/run/systemd/system/driverd.service.d/test.conf; systemctl daemon-reload")
		g.inactive("container")
		// Somebody knows better.
		g.sh(`echo 'ignore_gates = ["container"]' >/etc/driverd/driverd.toml; systemctl restart driverd`)
		g.until("driverd status | head -1 | grep -v inactive")
		g.sh("rm -r /run/systemd/system/driverd.service.d /etc/driverd/driverd.toml; systemctl daemon-reload; systemctl restart driverd; systemctl is-active driverd")
	})

	t.Run("a kernel without modules", func(t *testing.T) {
		g := g.in(t)
		// Every kernel that the lab has can load modules: the service sees none of
		// what this one says of itself, /proc/modules included.
		g.sh("mkdir -p /run/systemd/system/driverd.service.d; printf '[Service]\nProcSubset=pid\n' >/run/systemd/system/driverd.service.d/test.conf; systemctl daemon-reload")
		g.inactive("no-module-support")
		g.sh("rm -r /run/systemd/system/driverd.service.d; systemctl daemon-reload; systemctl restart driverd; systemctl is-active driverd")
	})

	t.Run("the system is an image", func(t *testing.T) {
		g := g.in(t)
		// An overlay without an upper layer is what composefs mounts, and as read-only.
		g.sh("mkdir -p /run/empty; mount -t overlay -o lowerdir=/usr:/run/empty image /usr")
		g.inactive("image-mode")
		g.sh("umount --lazy /usr; touch /run/ostree-booted")
		g.inactive("image-mode")
		g.sh("rm /run/ostree-booted; systemctl restart driverd; systemctl is-active driverd")
	})

	t.Run("the kernel's package is in no list", func(t *testing.T) {
		g := g.in(t)
		g.sh("rpm -e --justdb --nodeps $(rpm -qa 'kernel*'); sed -i s/enabled=1/enabled=0/ /etc/yum.repos.d/lab.repo; rm /var/lib/driverd/catalog-*; systemctl restart driverd")
		slot := g.plug("edu", "edu")
		g.says(slot, "blocked", "foreign-kernel", "belongs to no package")
		g.unplug("edu")
	})

	t.Run("modules_disabled=1", func(t *testing.T) {
		g := g.in(t)
		slot := g.plugDevice(lab.NVMe("late"))
		g.bound(slot, "nvme")
		g.sh("modprobe -r vmxnet3 2>/dev/null; echo 1 >/proc/sys/kernel/modules_disabled")
		slot = g.plug("net", "vmxnet3")
		g.says(slot, "blocked", "modules-disabled", "kernel.modules_disabled is 1")
		g.inactive("modules-disabled")
	})
}

// TestNoModule boots a guest with nomodule, which is what Firecracker and libkrun
// do, and what leaves it without disk and network.
func TestNoModule(t *testing.T) {
	t.Parallel()
	image, err := lab.BuildImage(t.Context(), rpm(t))
	if err == nil {
		image, err = lab.InMemory(t.Context(), image)
	}
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, lab.Options{Image: image}, lab.Start{Words: []string{"nomodule"}, Devices: []lab.Device{{ID: "nic", Driver: "igb"}}})
	if got := g.sh("cat /proc/modules"); got != "" {
		t.Errorf("loaded are %s", got)
	}
	g.inactive("modules-disabled")
}

// TestKernelOfTheHost boots a guest with a kernel of another build than those that
// are installed, which the host brings.
func TestKernelOfTheHost(t *testing.T) {
	t.Parallel()
	image, err := lab.BuildImage(t.Context(), rpm(t))
	if err == nil {
		image, err = lab.WithForeignKernel(t.Context(), image)
	}
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, lab.Options{Image: image}, lab.Start{Devices: []lab.Device{{ID: "nic", Driver: "igb"}}})
	if got := g.sh("uname -r"); got != image.Release {
		t.Errorf("kernel %s runs", got)
	}
	g.inactive("foreign-kernel")
}

// says waits until the message about the device in slot has these words in it,
// and sees that state and reason are what they should be.
func (g guest) says(slot hwdetect.Slot, state, reason string, words ...string) {
	g.Helper()
	g.refusedAnew(slot, state, reason)
	ctx, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	for {
		said := g.await(slot, state).Message
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(said, w) }) {
			g.Logf("%s is %s (%s): %s", slot, state, reason, said)
			return
		}
		select {
		case <-ctx.Done():
			g.Errorf("%s is %s (%s): %q, which does not say %q", slot, state, reason, said, words)
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// unsigned returns a module of the guest's kernel without the mark by which the
// kernel knows that a signature is there: the last 28 bytes.
func unsigned(t *testing.T, release, path string) []byte {
	t.Helper()
	modules, err := lab.AMD64.Modules(t.Context())
	if err != nil || filepath.Base(modules) != release {
		t.Fatalf("the guest's kernel %s is not that of %s: %v", release, modules, err)
	}
	const script = `xz -dc "$1" | head -c -28 | xz -c --check=crc32`
	text, err := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", filepath.Join(modules, path)).Output()
	if err != nil || len(text) == 0 {
		t.Fatalf("cannot make a module without a signature: %v", err)
	}
	return text
}

// inactive starts the service anew and sees that it says why nothing can be
// done, ends when nobody asks, does not loop, and answers when it is asked again.
func (g guest) inactive(reason string) {
	g.Helper()
	const said = "journalctl -b --no-pager -o cat -u driverd DRIVERD_EVENT=inactive DRIVERD_REASON=%s"
	g.sh("systemctl start driverd; journalctl --sync") // whatever start is under way has said why
	before := g.lines(said, reason)
	g.sh("systemctl restart driverd")
	r, err := g.vm.Run(g.patient(), "driverd status")
	if err != nil || r.Code != 4 || !strings.Contains(r.Stdout, " is inactive ("+reason+")") {
		g.Errorf("driverd status: %v %+v", err, r)
	}
	g.until("systemctl show -P ActiveState driverd | grep -x inactive")
	if got := g.sh("systemctl show -p Result,ExecMainStatus,NRestarts driverd | sort"); got != "ExecMainStatus=0\nNRestarts=0\nResult=success" {
		g.Errorf("the service has not ended well: %q", got)
	}
	if got := g.sh("systemctl show -P StatusText driverd"); !strings.HasPrefix(got, "inactive ("+reason+"): ") {
		g.Errorf("systemctl status shows %q", got)
	}
	// Whoever asks on the bus has it started again.
	if got := g.sh("busctl get-property org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.fedoraproject.Driverd1.Manager Reason"); got != `s "`+reason+`"` {
		g.Errorf("the reason on the bus is %s", got)
	}
	if got := g.lines(said, reason) - before; got != 2 {
		g.Errorf("the journal says %d times why, for two starts", got)
	}
}
