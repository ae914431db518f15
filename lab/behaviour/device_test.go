// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"slices"
	"strings"
	"testing"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
)

// TestOneDeviceAfterAnother follows a guest through its life: a card that is
// there at boot, its virtual functions, devices that cost nothing, a device
// that nobody knows, and one that came while the service was away.
func TestOneDeviceAfterAnother(t *testing.T) {
	t.Parallel()
	g := boot(t, lab.Options{}, lab.Start{Devices: []lab.Device{{ID: "nic", Driver: "igb"}}})
	nic := hwdetect.Slot{Bus: 1}
	intact := g.watchLifeline()

	t.Run("present at boot, before the service", func(t *testing.T) {
		g := g.in(t)
		g.await(nic, "bound")
		g.idle()
		s := g.bound(nic, "igb")
		if s.Group != "sriov" || !slices.Equal(s.Modules, []string{"igb"}) || len(s.Packages) != 1 ||
			!strings.HasPrefix(s.Packages[0], "kernel-modules-sriov-") || len(s.Functions) != 1 || s.Functions[0] != "net/"+g.sh("ls /sys/bus/pci/devices/%s/net", nic) {
			t.Errorf("shown: %+v", s)
		}
		var steps []string
		for _, step := range s.Timeline {
			steps = append(steps, step.Name)
		}
		if want := []string{"seen", "decided", "resolved", "downloaded", "unpacked", "loaded", "bound", "complete", "settled"}; !slices.Equal(steps, want) {
			t.Errorf("timeline %v, want %v", steps, want)
		}
		if got := g.subpackages(); len(got) != 2 || got["kernel-modules-sriov"] == "" {
			t.Errorf("installed: %v", got)
		}
	})

	t.Run("busctl", func(t *testing.T) {
		g := g.in(t)
		path := api.DevicePath(nic.String())
		if tree := g.sh("busctl --no-pager tree --list org.fedoraproject.Driverd1"); !strings.Contains(tree+"\n", path+"\n") {
			t.Errorf("busctl tree does not list %s:\n%s", path, tree)
		}
		if got := g.sh("busctl get-property org.fedoraproject.Driverd1 %s org.fedoraproject.Driverd1.Device State", path); got != `s "bound"` {
			t.Errorf("State is %s", got)
		}
		for property, want := range map[string]string{
			"Status":        `s "ready"`,
			"Mode":          `s "auto"`,
			"Backend":       `s "dnf5daemon"`,
			"KernelRelease": `s "` + g.sh("uname -r") + `"`,
			"Platform":      `s "` + g.sh("systemd-detect-virt") + `"`,
		} {
			if got := g.sh("busctl get-property org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.fedoraproject.Driverd1.Manager %s", property); got != want {
				t.Errorf("%s is %s, want %s", property, got, want)
			}
		}
	})

	t.Run("SIGHUP is a kick, not an end", func(t *testing.T) {
		g := g.in(t)
		g.sh("systemctl kill --signal=HUP driverd.service")
		g.healthy()
	})

	t.Run("the command line, as nobody", func(t *testing.T) {
		g := g.in(t)
		const as = "setpriv --reuid=nobody --clear-groups driverd "
		if got := g.sh(as + "status"); !strings.Contains(got, "\n  0000:01:00.0  igb: net/") {
			t.Errorf("driverd status: %s", got)
		}
		if got := g.sh(as + "explain 0000:01:00.0"); !strings.Contains(got, "claimed by  igb, installed") ||
			!strings.Contains(got, "group sriov, installed") || !strings.Contains(got, "bound to igb") {
			t.Errorf("driverd explain: %s", got)
		}
		g.sh("driverd rescan")
		// Whoever may not is told so, and how one may.
		for command, action := range map[string]string{"rescan": "rescan", "install sriov": "install", "mode observe": "configure"} {
			r, err := g.vm.Run(g.patient(), as+command)
			if err != nil || r.Code != 1 || !strings.Contains(r.Stderr, "org.fedoraproject.driverd1."+action) ||
				!strings.Contains(r.Stderr, "Run the command as root (sudo), or allow the action with a polkit rule.") {
				t.Errorf("driverd %s: %v %d %s", command, err, r.Code, r.Stderr)
			}
		}
		if got := g.sh("driverd install %s", nic); got != "Done: "+nic.String()+" is bound to igb already." {
			t.Errorf("driverd install: %s", got)
		}
		if got := g.sh("driverd install sriov"); !strings.HasSuffix("\n"+got, "\nDone: "+g.sh("rpm -q kernel-modules-sriov")+" is installed already.") {
			t.Errorf("driverd install: %s", got)
		}
	})

	t.Run("for scripts and for Prometheus", func(t *testing.T) {
		g := g.in(t)
		g.sh("driverd wait %s && driverd wait --timeout 0 %s", nic, strings.TrimPrefix(nic.String(), "0000:"))
		g.sh("driverd wait --timeout 1s 0000:77:00.0; test $? = 3")
		g.sh("driverd status --check")
		if got := g.sh("systemctl is-enabled driverd-metrics.timer || true"); got != "disabled" {
			t.Errorf("the timer of the metrics is %s", got)
		}
		// The folder is another user's, as on Fedora.
		g.sh("install -d -o nobody /var/lib/prometheus/node-exporter && systemctl start driverd-metrics.service")
		g.sh("cd /var/lib/prometheus/node-exporter && grep -x 'driverd_up 1' driverd.prom && grep -x 'driverd_bind_seconds_count 1' driverd.prom && tail -n 1 driverd.prom | grep -x '# EOF'")
		if r, err := g.vm.Run(g.patient(), "systemd-analyze security --threshold=15 --no-pager driverd-metrics.service"); err != nil || r.Code != 0 {
			t.Errorf("systemd-analyze security is above 1.5: %v %s", err, r.Stdout)
		}
		g.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/driverd-metrics.service /usr/lib/systemd/system/driverd-metrics.timer")
	})

	t.Run("a record, read on another machine", func(t *testing.T) { g.in(t).readsRecord() })

	t.Run("the journal has fields to search by", func(t *testing.T) {
		g := g.in(t)
		if got := g.sh("journalctl -u driverd.service -o cat DRIVERD_SLOT=%s DRIVERD_STATE=bound", nic); got != nic.String()+" is bound to igb" {
			t.Errorf("the journal says %q", got)
		}
		if got := g.sh("journalctl --no-pager -x -u driverd.service DRIVERD_SLOT=%s DRIVERD_STATE=bound", nic); !strings.Contains(got, "Subject: A device has its driver") ||
			!strings.Contains(got, nic.String()+" is driven by igb.") {
			t.Errorf("journalctl -x explains: %s", got)
		}
	})

	t.Run("no privilege", func(t *testing.T) {
		g := g.in(t)
		if got := g.sh("systemctl show -P User driverd.service"); got != "driverd" {
			t.Errorf("the service runs as %q", got)
		}
		if got := g.sh("grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb):' /proc/$(systemctl show -P MainPID driverd.service)/status | grep -vc 0000000000000000 || true"); got != "0" {
			t.Errorf("the service has capabilities in %s sets", got)
		}
		if r, err := g.vm.Run(g.patient(), "systemd-analyze security --threshold=9 --no-pager driverd.service"); err != nil || r.Code != 0 {
			t.Errorf("systemd-analyze security is above 0.9: %v %s", err, r.Stdout)
		}
		g.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/driverd.service /usr/lib/systemd/system/driverd-load@.service /usr/lib/systemd/system/driverd-install@.service")
	})

	t.Run("who may ask for a rescan", func(t *testing.T) {
		g := g.in(t)
		g.sh(rescan)
		g.sh("setpriv --reuid=nobody --clear-groups %s --allow-interactive-authorization=no 2>&1 | grep 'needs an authentication'", rescan)
		g.sh("setpriv --reuid=nobody --clear-groups busctl get-property org.fedoraproject.Driverd1 %s org.fedoraproject.Driverd1.Device State", api.DevicePath(nic.String()))
	})

	t.Run("the user driverd may start the two steps, and nothing else", func(t *testing.T) {
		g := g.in(t)
		const as = "setpriv --reuid=driverd --clear-groups "
		g.sh(as + "systemctl start driverd-load@0000:01:00.0.service")
		g.sh(as + "systemctl start driverd-install@100.service") // of which there is no request
		for _, forbidden := range []string{
			"systemctl stop driverd-install@100.service",
			"systemctl stop dnf5daemon-server.service",
			"systemctl stop driverd-load@0000:01:00.0.service",
			"systemctl start driverd-load@x.service",
			"systemctl start driverd-vendor@enable-nvidia-open.service",
			"systemctl restart systemd-udevd.service",
			"systemctl start dnf5daemon-server.service",
			"systemctl restart dnf5daemon-server.service",
			"systemctl stop polkit.service",
			"systemctl start rescue.target",
		} {
			if r, err := g.vm.Run(g.patient(), as+forbidden); err != nil || r.Code == 0 {
				t.Errorf("driverd may %q: %v", forbidden, err)
			}
		}
	})

	t.Run("virtual functions of an installed driver", func(t *testing.T) {
		g := g.in(t)
		before := g.subpackages()
		g.sh("systemctl stop dnf5daemon-server.service")
		g.sh("echo 3 >/sys/bus/pci/devices/%s/sriov_numvfs", nic)
		for _, name := range strings.Fields(g.sh("for f in /sys/bus/pci/devices/%s/virtfn*; do basename $(readlink $f); done", nic)) {
			slot, err := hwdetect.ParseSlot(name)
			if err != nil {
				t.Fatal(err)
			}
			g.bound(slot, "igbvf")
		}
		g.sh("echo 0 >/sys/bus/pci/devices/%s/sriov_numvfs", nic)
		g.noDNF()
		if after := g.subpackages(); len(after) != len(before) {
			t.Errorf("installed before %v, after %v", before, after)
		}
	})

	t.Run("a driver of the base, and one built in", func(t *testing.T) {
		g := g.in(t)
		g.sh("systemctl stop dnf5daemon-server.service")
		g.bound(g.plug("net2", "vmxnet3"), "vmxnet3")
		g.bound(g.plug("rng2", "virtio-rng-pci"), "virtio-pci")
		g.noDNF()
	})

	t.Run("a device that nobody knows", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("edu", "edu")
		g.refused(slot, "unsupported", "no-driver")
		g.sh("systemctl stop dnf5daemon-server.service") // which has been asked, once
		g.sh("udevadm trigger --settle --action=change /sys/bus/pci/devices/%s", slot)
		g.refused(slot, "unsupported", "no-driver")
		g.noDNF()
		if got := g.sh("journalctl -u driverd.service -o cat | grep -c '%s is unsupported'", slot); got != "1" {
			t.Errorf("the journal says %s times that it is unsupported", got)
		}
		g.unplug("edu")
		g.gone(slot)
	})

	t.Run("a device reserved by driver_override", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("edu", "edu")
		g.await(slot, "unsupported")
		g.sh("echo vfio-pci >/sys/bus/pci/devices/%s/driver_override; udevadm trigger --action=change /sys/bus/pci/devices/%s", slot, slot)
		g.refused(slot, "blocked", "driver-override")
		g.unplug("edu")
		g.gone(slot)
	})

	t.Run("a blacklisted module", func(t *testing.T) {
		g := g.in(t)
		g.unplug("nic")
		g.gone(nic)
		g.sh("modprobe -r igbvf igb; echo blacklist igb >/etc/modprobe.d/test.conf; udevadm control --reload")
		slot := g.plug("nic", "igb")
		g.refused(slot, "blocked", "blacklisted")
		// The service says it, and so does the load step, which believes nobody.
		g.sh("systemctl start driverd-load@%s.service", slot)
		for _, unit := range []string{"driverd.service", "driverd-load@" + slot.String() + ".service"} {
			if got := g.sh("journalctl --no-pager -x -u %s DRIVERD_REASON=blacklisted", unit); !strings.Contains(got, "Subject: The driver is blacklisted") ||
				!strings.Contains(got, "driverd rescan") {
				t.Errorf("journalctl -x -u %s explains: %s", unit, got)
			}
		}
		g.sh("rm /etc/modprobe.d/test.conf")
		g.sh(rescan)
		g.bound(slot, "igb")
	})

	t.Run("denied, observed, and a mistake in the configuration", func(t *testing.T) {
		g := g.in(t)
		const file = "/etc/driverd/driverd.toml"
		g.sh(`printf '[[rule]]\naction = "deny"\nid = ["1000:*"]\n' >%s`, file)
		slot := g.plug("raid", "megasas")
		g.refused(slot, "blocked", "policy")
		if got := g.sh("driverd explain %s || test $? = 4", slot); !strings.Contains(got, "rule        deny, by "+file+":1\n") {
			t.Errorf("driverd explain: %s", got)
		}
		g.sh(`echo 'mode = "observe"' >%s; systemctl reload driverd.service`, file)
		g.refused(slot, "blocked", "observe-only") // a reload returns when it is done
		g.sh(`echo 'mdoe = "auto"' >%s; ! systemctl reload driverd.service`, file)
		if got := g.sh("driverd status"); !strings.Contains(got, file+`:1:1: unknown key "mdoe"`) {
			t.Errorf("driverd status: %s", got)
		}
		g.refused(slot, "blocked", "observe-only")
		g.unplug("raid")
		g.gone(slot)
		g.sh("rm %s; systemctl reload driverd.service; driverd status | grep -q 'mode auto$'", file)
		g.healthy()
	})

	t.Run("plugged in while the service is stopped", func(t *testing.T) {
		g := g.in(t)
		g.sh("systemctl stop driverd.service")
		slot := g.plug("net3", "e1000e")
		g.until("test -e /sys/bus/pci/devices/%s", slot)
		g.sh("systemctl start driverd.service")
		g.bound(slot, "e1000e")
		g.healthy()
	})

	t.Run("dnf5daemon is stopped after use", func(t *testing.T) {
		g := g.in(t)
		// What runs was started by a service that has been stopped since: such a one stays.
		g.sh("systemctl stop dnf5daemon-server.service && driverd rescan")
		g.until("systemctl is-active -q dnf5daemon-server.service")
		g.idle()
		const available = "awk '/^MemAvailable:/ {print $2 * 1024}' /proc/meminfo"
		before := g.sh(available)
		pss := g.sh("awk '/^Pss:/ {print $2 * 1024}' /proc/$(systemctl show -P MainPID dnf5daemon-server.service)/smaps_rollup")
		g.until("! systemctl is-active -q dnf5daemon-server.service")
		t.Logf("dnf5daemon had %s bytes; of the guest's memory %s were available, and are %s", pss, before, g.sh(available))
		if got := g.sh("systemctl show -P Result dnf5daemon-server.service"); got != "success" {
			t.Errorf("dnf5daemon ended with %q", got)
		}
		g.bound(g.plugDevice(lab.BochsDisplay("display")), "bochs-drm")
		g.healthy()
	})

	t.Run("what the guest lives on is not touched", func(t *testing.T) { intact(g.in(t), nic.String()) })

	t.Run("journalctl -x explains every entry", func(t *testing.T) {
		g := g.in(t)
		// What a command of the unit prints, as for a reload, is for whoever called it.
		const entries = "journalctl --no-pager -o json SYSLOG_IDENTIFIER=driverd _TRANSPORT=journal"
		if got := g.sh(entries + " | grep -v '\"MESSAGE_ID\"' || true"); got != "" {
			t.Errorf("without a MESSAGE_ID: %s", got)
		}
		g.sh(`for id in $(` + entries + ` | sed 's/.*"MESSAGE_ID":"\([0-9a-f]*\)".*/\1/' | sort -u); do
			journalctl --list-catalog $id | grep "^$id driverd: " || exit 1
		done`)
	})
}

// noDNF sees that dnf5daemon-server, which the bus starts when somebody wants
// a session and which never ends by itself, has not been wanted.
func (g guest) noDNF() {
	g.Helper()
	if got := g.sh("systemctl show -P ActiveState dnf5daemon-server.service"); got != "inactive" {
		g.Errorf("dnf5daemon-server is %s", got)
	}
}

// TestEightDevicesAtOnce plugs in devices of every kind together.
func TestEightDevicesAtOnce(t *testing.T) {
	t.Parallel()
	g := resume(t, lab.Options{})
	want := []struct {
		device lab.Device
		driver string // empty: unsupported
	}{
		{lab.Device{ID: "igb", Driver: "igb"}, "igb"},
		{lab.Device{ID: "e1000e", Driver: "e1000e"}, "e1000e"},
		{lab.Device{ID: "vmxnet3", Driver: "vmxnet3"}, "vmxnet3"},
		{lab.NVMe("nvme"), "nvme"},
		{lab.Device{ID: "megasas", Driver: "megasas"}, "megaraid_sas"},
		{lab.Device{ID: "mptsas", Driver: "mptsas1068"}, "mptsas"},
		{lab.Device{ID: "edu", Driver: "edu"}, ""},
		{lab.BochsDisplay("display"), "bochs-drm"},
	}
	slots := make([]hwdetect.Slot, len(want))
	for i, w := range want {
		slots[i] = g.plugDevice(w.device)
	}
	for i, w := range want {
		if w.driver == "" {
			g.refused(slots[i], "unsupported", "no-driver")
		} else {
			g.bound(slots[i], w.driver)
		}
	}
	installed := g.subpackages()
	base := installed["kernel-modules-core"]
	ids := make(map[string]bool)
	for _, id := range installed {
		ids[id] = true
	}
	delete(ids, base)
	if len(ids) != 1 || len(installed) < 4 {
		t.Errorf("not one transaction for all: %v", installed)
	}
	g.healthy()
}

// TestUnplugAndRestart takes devices and the service away at the worst moments.
func TestUnplugAndRestart(t *testing.T) {
	t.Parallel()
	g := resume(t, lab.Options{})

	t.Run("unplugged before driverd has looked", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("nic", "igb")
		g.unplug("nic")
		g.gone(slot)
	})

	t.Run("unplugged during the installation", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("nic", "igb")
		g.await(slot, "installing")
		g.unplug("nic")
		g.gone(slot)
		g.until("rpm -q kernel-modules-sriov") // what is under way ends well
	})

	t.Run("the next device works", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("nic", "igb")
		g.bound(slot, "igb")
		g.unplug("nic")
		g.gone(slot)
		g.healthy()
	})

	t.Run("its driver is taken away", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("nic", "igb")
		g.bound(slot, "igb")
		g.idle() // else modprobe may not know of the module yet
		g.sh("modprobe -r igb")
		g.refused(slot, "blocked", "unbound")
		g.sh(rescan)
		g.bound(slot, "igb")
		g.unplug("nic")
		g.gone(slot)
		g.healthy()
	})

	t.Run("stopped while dnf works", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("raid", "megasas")
		g.await(slot, "installing")
		if g.sh("systemctl stop driverd.service; rpm -q kernel-modules-passthrough || :") != "package kernel-modules-passthrough is not installed" {
			t.Error("systemctl stop waited for the transaction")
		}
		if got := g.sh("systemctl show -P Result driverd.service"); got != "success" {
			t.Errorf("the service ended with %q", got)
		}
		g.sh("systemctl start driverd.service")
		g.bound(slot, "megaraid_sas")
	})

	t.Run("killed while dnf works", func(t *testing.T) {
		g := g.in(t)
		slot := g.plugDevice(lab.BochsDisplay("display"))
		g.await(slot, "installing")
		g.sh("systemctl kill --signal=KILL driverd.service")
		g.bound(slot, "bochs-drm")
	})

	t.Run("restarted again and again", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("nic", "igb")
		for range 3 {
			g.sh("systemctl restart driverd.service")
		}
		g.bound(slot, "igb")
		g.onlyRunningKernel()
	})
}
