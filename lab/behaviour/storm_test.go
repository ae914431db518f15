// SPDX-License-Identifier: Apache-2.0

//go:build lab && long

package behaviour_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"driverd/api"
	"driverd/lab"
)

// TestStorm has far more happen than a guest is used to, and sees that driverd
// loses no device, asks DNF once for what is missing, and is then what it was.
func TestStorm(t *testing.T) {
	const functions = 120
	g := boot(t, lab.Options{}, lab.Start{
		Devices: []lab.Device{lab.NVMeFunctions("disk", functions)},
		Files: map[string]string{
			// The receive buffer that older kernels allow; the guest's own allows twenty times as much.
			"etc/sysctl.d/storm.conf": "net.core.rmem_max = 212992\n",
			// One row stops the service for longer than systemd waits, on a slow machine.
			"etc/systemd/system/driverd.service.d/storm.conf": "[Service]\nWatchdogSec=10min\n",
		},
	})
	disk := g.slot("disk")
	g.bound(disk, "nvme")
	g.until("test -s /var/lib/driverd/catalog-$(uname -r).json")
	g.sh("systemd-run -q --unit=events --property=StandardOutput=file:/run/events udevadm monitor --udev --subsystem-match=pci")
	if err := g.vm.WatchDriverd(g.patient()); err != nil {
		t.Fatal(err)
	}
	g.until("test -e /run/events")

	const line = "table: %-44s %7s %6s %7s %5s %12s %6s %7s %13s %11s %8s\n"
	_, _ = fmt.Printf(line, "storm", "seconds", "sent", "dropped", "looks", "transactions", "CPU s", "peak MB", "RSS MB", "descriptors", "threads")
	// row runs a storm, which returns what to call it, and prints what it has cost.
	row := func(name string, transactions int, storm func(g guest) string) {
		t.Run(name, func(t *testing.T) {
			g := g.in(t)
			before, began := g.weather(), time.Now()
			name := storm(g)
			g.rest()
			g.agrees()
			took, after := time.Since(began), g.weather()
			pair := func(a, b any) string { return fmt.Sprintf("%v to %v", a, b) }
			_, _ = fmt.Printf(line, name, fmt.Sprintf("%.0f", took.Seconds()), fmt.Sprint(after.sent-before.sent), fmt.Sprint(after.drops-before.drops),
				fmt.Sprint(after.looks-before.looks), fmt.Sprint(after.jobs-before.jobs), fmt.Sprintf("%.1f", (after.cpu-before.cpu).Seconds()),
				megabytes(after.peak), pair(megabytes(before.rss), megabytes(after.rss)), pair(before.files, after.files), pair(before.threads, after.threads))
			if got := after.jobs - before.jobs; got != transactions {
				t.Errorf("%d transactions, want %d", got, transactions)
			}
			if after.files > before.files+4 || after.threads > before.threads+8 || after.peak > 64_000 {
				t.Errorf("it is not what it was: %+v, now %+v", before, after)
			}
		})
	}

	row("functions", 1, func(g guest) string {
		nic := g.plug("nic", "igb") // needs a package, in the middle of it all
		g.sh("echo %d >/sys/bus/pci/devices/%s/sriov_numvfs", functions, disk)
		g.shows("failed", "probe-failed", functions) // they are not ready
		g.bound(nic, "igb")
		return fmt.Sprintf("%d functions of one card at once", functions)
	})
	// So many that udevd passes them on as fast as it can.
	const events = "for i in 1 2 3 4 5; do for f in $(ls -d /sys/bus/pci/devices/0000:%02x:* | head -100); do echo change >$f/uevent; done; done; udevadm settle"
	row("events", 0, func(g guest) string {
		g.sh(events, disk.Bus)
		return "500 events at once"
	})
	row("events unread", 1, func(g guest) string {
		g.sh("systemctl kill --signal=STOP driverd.service; "+events, disk.Bus)
		drops := g.weather().drops
		raid := g.plug("raid", "megasas")
		g.until("udevadm settle; test -e /sys/bus/pci/devices/%s", raid)
		if got := g.weather().drops; got == 0 || got == drops {
			g.Errorf("no event of the new device was dropped: %d before it, %d after", drops, got)
		}
		g.sh("systemctl kill --signal=CONT driverd.service")
		g.bound(raid, "megaraid_sas")
		return "500 unread, and a card that nobody told of"
	})
	row("another", 0, func(g guest) string {
		models := []string{"edu", "vmxnet3", "e1000", "edu", "megasas", "igb", "pci-testdev", "megasas"}
		slot := g.plug("other", "igb")
		for _, model := range models {
			g.unplug("other")
			if got := g.plug("other", model); got != slot {
				g.Fatalf("%s is at %s, not at %s", model, got, slot)
			}
		}
		// It still shows a card before, as bound, until it looks.
		g.until(`busctl get-property org.fedoraproject.Driverd1 %s org.fedoraproject.Driverd1.Device Driver | grep -q megaraid_sas`, api.DevicePath(slot.String()))
		g.bound(slot, "megaraid_sas")
		return fmt.Sprintf("one slot, %d other cards", len(models))
	})
	row("flaps", 0, func(g guest) string {
		const times = 50
		for range times {
			slot := g.plug("loose", "igb")
			// What ACPI has not told the guest of yet, it tells of twice when it goes.
			g.until("test -e /sys/bus/pci/devices/%s", slot)
			g.unplug("loose")
		}
		g.bound(g.plug("loose", "igb"), "igb")
		return fmt.Sprintf("one card in and out %d times", times)
	})
	g.healthy()
}

// weather is what has come over driverd since it started.
type weather struct {
	sent, drops int // events of PCI devices
	looks, jobs int
	cpu         time.Duration
	vitals
}

func (g guest) weather() weather {
	g.Helper()
	w := weather{vitals: g.vitals(), jobs: g.begun()}
	var nsec int64
	out := g.sh("grep -c ^UDEV /run/events; systemctl show -P CPUUsageNSec driverd.service")
	if _, err := fmt.Sscan(out, &w.sent, &nsec); err != nil {
		g.Fatalf("cannot read what has come over driverd: %v: %s", err, out)
	}
	w.cpu = time.Duration(nsec)
	var err error
	if w.looks, w.drops, err = g.vm.Watched(g.patient()); err != nil {
		g.Fatal(err)
	}
	return w
}

// vitals are what driverd has of the guest.
type vitals struct {
	peak, rss      int // kB; the peak is since the last time that was asked
	files, threads int
}

func (g guest) vitals() vitals {
	g.Helper()
	var v vitals
	out := g.sh(`cd /proc/$(systemctl show -P MainPID driverd.service)
awk '/^VmHWM:|^VmRSS:/ {print $2}' status
ls fd | wc -l
ls task | wc -l
echo 5 >clear_refs`)
	if _, err := fmt.Sscan(out, &v.peak, &v.rss, &v.files, &v.threads); err != nil {
		g.Fatalf("cannot read what driverd has of the guest: %v: %s", err, out)
	}
	return v
}

func megabytes(kB int) string { return fmt.Sprintf("%.1f", float64(kB)/1e3) }

// devices are all that driverd shows.
func (g guest) devices() []api.Device {
	g.Helper()
	var report struct{ Devices []api.Device }
	if err := json.Unmarshal([]byte(g.sh("driverd status --json")), &report); err != nil {
		g.Fatal(err)
	}
	return report.Devices
}

// awaitDevices waits until what driverd shows is right; wrong says what is not.
func (g guest) awaitDevices(wrong func([]api.Device) string) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), patience)
	defer cancel()
	for {
		problem := wrong(g.devices())
		if problem == "" {
			return
		}
		select {
		case <-ctx.Done():
			g.Fatal(problem)
		case <-time.After(3 * time.Second):
		}
	}
}

// rest waits until driverd has nothing more to do. To ask for all that it shows
// again and again would be a storm of its own.
func (g guest) rest() {
	g.Helper()
	g.until("busctl get-property org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.fedoraproject.Driverd1.Manager Status | grep -q ready || { sleep 1; false; }")
}

// shows waits until so many devices are in that state for that reason.
func (g guest) shows(state, reason string, devices int) {
	g.Helper()
	g.until(`busctl get-property org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.fedoraproject.Driverd1.Manager Counts | grep -q '"%s" %d' || { sleep 1; false; }`, state, devices)
	g.awaitDevices(func(all []api.Device) string {
		n := 0
		for _, d := range all {
			if d.State == state && d.Reason == reason {
				n++
			}
		}
		if n == devices {
			return ""
		}
		return fmt.Sprintf("%d devices are %s (%s), want %d", n, state, reason, devices)
	})
}

// agrees waits until driverd shows the devices that there are, each with the driver
// that it has.
func (g guest) agrees() {
	g.Helper()
	want := g.sh("cd /sys/bus/pci/devices; for d in *; do echo $d $(basename $(readlink $d/driver)); done")
	g.awaitDevices(func(all []api.Device) string {
		var got []string
		for _, d := range all {
			got = append(got, strings.TrimSpace(d.Slot+" "+d.Driver))
		}
		slices.Sort(got)
		if strings.Join(got, "\n") == want {
			return ""
		}
		return fmt.Sprintf("driverd shows\n%s\nand there are\n%s", strings.Join(got, "\n"), want)
	})
}
