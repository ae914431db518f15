// SPDX-License-Identifier: Apache-2.0

//go:build lab

package lab_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"driverd/lab"
	"driverd/lab/stage"
)

// patience is for one thing that takes a while under software emulation, on a machine
// that does something else as well.
const patience = 10 * time.Minute

// bareGuest boots a guest without driverd, and saves its logs if t fails.
func bareGuest(t *testing.T, o lab.Options, s lab.Start) *lab.Guest {
	t.Helper()
	if err := lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if o.Image == nil {
		if o.Image, err = lab.BuildImage(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	guest, err := lab.Boot(within(t, patience), o, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the agent answered after %.1f s", time.Since(start).Seconds())
	t.Cleanup(func() {
		if t.Failed() {
			dir := t.ArtifactDir()
			if err := guest.Collect(dir); err != nil {
				t.Error(err)
			}
			t.Logf("the guest's logs are in %s", dir)
		}
		if err := guest.Close(); err != nil {
			t.Error(err)
		}
	})
	return guest
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func output(t *testing.T, g *lab.Guest, script string) string {
	t.Helper()
	out, err := g.Output(within(t, patience), script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func until(t *testing.T, g *lab.Guest, script string) {
	t.Helper()
	if _, err := g.Until(within(t, patience), script); err != nil {
		t.Fatal(err)
	}
}

// TestBareGuest follows a device by hand through what driverd does by itself.
func TestBareGuest(t *testing.T) {
	g := bareGuest(t, lab.Options{}, lab.Start{Devices: []lab.Device{{ID: "cold", Driver: "edu"}}})

	t.Run("a command's output and exit code come back", func(t *testing.T) {
		r, err := g.Run(within(t, patience), "echo out; echo err >&2; exit 7")
		if want := (lab.Result{Stdout: "out\n", Stderr: "err\n", Code: 7}); err != nil || r != want {
			t.Fatalf("got %+v, %v; want %+v", r, err, want)
		}
		r, err = g.Run(within(t, patience), "kill -9 $$")
		if err != nil || r.Code != 128+9 {
			t.Fatalf("got %+v, %v; want code 137", r, err)
		}
	})

	t.Run("a command outlived by its context leaves a working agent", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := g.Run(ctx, "sleep 5"); err == nil {
			t.Fatal("want an error")
		}
		output(t, g, "true")
	})

	t.Run("the guest has the base packages of its kernel and nothing more", func(t *testing.T) {
		release := output(t, g, "uname -r")
		got := output(t, g, `rpm -qa --qf '%{NAME}\n' 'kernel*' | sort`)
		if got != "kernel-core\nkernel-modules-core" {
			t.Errorf("installed: %q", got)
		}
		output(t, g, "rpm -q --provides kernel-core | grep -Fx 'kernel-core-uname-r = "+release+"'")
		output(t, g, "test -z \"$(find /lib/modules -name 'igb.ko*')\"")
	})

	t.Run("a device of the start is there", func(t *testing.T) {
		slot, err := g.Slot(within(t, patience), "cold")
		if err != nil {
			t.Fatal(err)
		}
		if slot.String() != "0000:01:00.0" {
			t.Errorf("the first root port's device is at %s", slot)
		}
		output(t, g, "test -e /sys/bus/pci/devices/"+slot.String())
		if err := g.Unplug(within(t, patience), "cold"); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("igb is plugged in, driven and unplugged", func(t *testing.T) {
		slot, err := g.Plug(within(t, patience), lab.Device{ID: "nic1", Driver: "igb"})
		if err != nil {
			t.Fatal(err)
		}
		dir := "/sys/bus/pci/devices/" + slot.String()
		until(t, g, "test -e "+dir)
		if got := output(t, g, "cat "+dir+"/vendor "+dir+"/device"); got != "0x8086\n0x10c9" {
			t.Errorf("got %q", got)
		}
		output(t, g, "dnf5 -q repoquery --available 'kernel-modules-sriov' | grep -q .")
		output(t, g, `dnf5 -y install "kernel-modules-sriov-uname-r = $(uname -r)"`)
		output(t, g, "modprobe $(cat "+dir+"/modalias)")
		until(t, g, "test $(basename $(readlink "+dir+"/driver)) = igb")
		output(t, g, "echo 3 >"+dir+"/sriov_numvfs")
		until(t, g, "test $(ls -d /sys/bus/pci/drivers/igbvf/0000:* | wc -l) = 3")
		if err := g.Unplug(within(t, patience), "nic1"); err != nil {
			t.Fatal(err)
		}
		until(t, g, "test ! -e "+dir)
	})

	t.Run("the disk outlives a reboot", func(t *testing.T) {
		output(t, g, "touch /root/kept")
		boot := output(t, g, "cat /proc/sys/kernel/random/boot_id")
		if err := g.Reboot(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		output(t, g, "test -e /root/kept")
		if output(t, g, "cat /proc/sys/kernel/random/boot_id") == boot {
			t.Error("the guest did not reboot")
		}
	})

	t.Run("what was on the disk outlives a reset, and a device stays", func(t *testing.T) {
		if _, err := g.Plug(within(t, patience), lab.Device{ID: "stays", Driver: "edu"}); err != nil {
			t.Fatal(err)
		}
		boot := output(t, g, "echo kept >/root/kept; sync; cat /proc/sys/kernel/random/boot_id")
		if err := g.Reset(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		output(t, g, "grep kept /root/kept && touch /root/more")
		if output(t, g, "cat /proc/sys/kernel/random/boot_id") == boot {
			t.Error("the guest was not reset")
		}
		slot, err := g.Slot(within(t, patience), "stays")
		if err != nil {
			t.Fatal(err)
		}
		output(t, g, "test -e /sys/bus/pci/devices/"+slot.String())
	})
}

// TestEveryDevice plugs in at once what the tests of driverd do.
func TestEveryDevice(t *testing.T) {
	var requests atomic.Int32
	g := bareGuest(t, lab.Options{Repo: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		http.Error(w, "broken on purpose", http.StatusInternalServerError)
	})}, lab.Start{Devices: []lab.Device{lab.NVMe("disk0")}})
	devices := []lab.Device{lab.NVMe("disk1"), lab.BochsDisplay("gpu1")}
	for _, driver := range []string{"igb", "e1000e", "vmxnet3", "megasas", "mptsas1068", "edu"} {
		devices = append(devices, lab.Device{ID: driver + "-1", Driver: driver})
	}
	seen := map[string]bool{}
	for _, d := range devices {
		slot, err := g.Plug(within(t, patience), d)
		if err != nil {
			t.Fatal(err)
		}
		if seen[slot.String()] {
			t.Errorf("%s shares slot %s", d.ID, slot)
		}
		seen[slot.String()] = true
		until(t, g, "test -e /sys/bus/pci/devices/"+slot.String())
	}
	for _, d := range append(devices, lab.NVMe("disk0")) {
		if d.Driver == "bochs-display" {
			continue // lets go only with its driver, which the bare guest lacks
		}
		if err := g.Unplug(within(t, patience), d.ID); err != nil {
			t.Error(err)
		}
	}

	// The repository is the test's own to break.
	if r, err := g.Run(within(t, patience), "dnf5 --refresh --setopt=lab.skip_if_unavailable=0 --setopt=retries=1 makecache"); err != nil || r.Code == 0 {
		t.Errorf("makecache on a broken repository: %+v, %v", r, err)
	}
	if requests.Load() == 0 {
		t.Error("the guest did not ask for the repository")
	}
}

func init() {
	stage.Progress = io.Writer(testProgress{})
}

// testProgress prints at once what a test's log would keep until the end: a
// first build takes minutes.
type testProgress struct{}

func (testProgress) Write(p []byte) (int, error) { return fmt.Print(string(p)) }
