// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/api"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	want := `driverd 1.0 is ready: 3 need help, 1 bound
kernel 7.2.12-test, platform kvm, fake, mode auto

Need help
  0000:03:00.0  blocked (blacklisted)
    pci:v00001000d00000060sv00001000sd00001013bc01sc04i00
    kernel-modules-passthrough-7.2.12-1.x86_64
    cannot load megaraid_sas: it is blacklisted in /etc/modprobe.d/local.conf
  0000:01:00.0  unavailable (repo-unreachable)
    Intel Corporation �[31mCard of the very very very very very very very very
    very very very very long name
    kernel-modules-sriov-7.2.12-1.x86_64
    cannot download from updates: connection refused
  0000:04:00.0  unsupported (no-driver)
    pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00
    no package of kernel 7.2.12-test has a driver for this device
  The whole story: driverd explain SLOT; to try again: driverd rescan

Bound
  0000:02:00.0  virtio-pci  Red Hat, Inc. �[31mCard of the very very very ver...

Chipset: 3 parts, which need no help (drivers: none, pcieport).
`
	for _, args := range [][]string{nil, {"status"}} {
		code, out, complaints := driverd(t, s.bus.Address, args...)
		if diff := cmp.Diff(want, out); diff != "" || code != 0 || complaints != "" {
			t.Errorf("driverd %v: %d %s\n%s", args, code, complaints, diff)
		}
	}
}

func TestStatusJSON(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	_, asRoot, _ := driverd(t, s.bus.Address, "--json")
	code, out, complaints := driverd(t, s.bus.Address, "status", "--json")
	if asRoot != out {
		t.Errorf("driverd --json is not driverd status --json: %s", asRoot)
	}
	var report struct {
		Version, Status, Mode string
		KernelRelease         string `json:"kernel_release"`
		Counts                map[string]int
		Devices               []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || complaints != "" {
		t.Fatalf("%d %v %s\n%s", code, err, complaints, out)
	}
	want := map[string]int{"blocked": 2, "bound": 2, "unavailable": 1, "unsupported": 2}
	if diff := cmp.Diff(want, report.Counts); diff != "" || report.KernelRelease != release || report.Status != "ready" {
		t.Errorf("%s\n%s", diff, out)
	}
	card := report.Devices[3]
	if card["slot"] != "0000:01:00.0" || card["state"] != "unavailable" || card["group"] != "sriov" || card["class"] != float64(0x020000) {
		t.Errorf("%v", card)
	}
	for _, key := range []string{"modalias", "vendor", "product", "reason", "message", "driver", "modules", "packages", "timeline"} {
		if card[key] == nil {
			t.Errorf("no %s in %v", key, card)
		}
	}
}

// Sixty virtual functions are one card to whoever looks for what is wrong.
func TestStatusOfMany(t *testing.T) {
	t.Parallel()
	var devices []api.Device
	add := func(slot string, d api.Device) {
		d.Slot, d.Class = slot, 0x020000
		devices = append(devices, d)
	}
	vf := api.Device{Vendor: "Intel", Product: "Virtual Function"}
	for n := range 60 {
		d := vf
		d.State, d.Driver = "bound", "igbvf"
		add(fmt.Sprintf("0000:01:%02x.%d", n/8, n%8), d)
		if n < 7 {
			d = vf
			d.State, d.Reason, d.Message = "blocked", "blacklisted", "igbvf is blacklisted"
			add(fmt.Sprintf("0000:02:00.%d", n), d)
		}
	}
	add("0000:03:00.0", api.Device{State: "bound", Driver: "nvme", Modalias: "pci:v1"})
	want := `driverd 1 is ready: 7 need help, 61 bound
kernel 7.2, platform kvm, fake, mode auto

Need help
  0000:02:00.0 0000:02:00.1 0000:02:00.2 0000:02:00.3 0000:02:00.4 0000:02:00.5
  0000:02:00.6
    blocked (blacklisted)
    Intel Virtual Function
    igbvf is blacklisted
  The whole story: driverd explain SLOT; to try again: driverd rescan

Bound
  0000:01:00.0  igbvf  and 59 more: Intel Virtual Function
  0000:03:00.0  nvme   pci:v1
`
	got := console{}.statusText(api.Manager{Version: "1", Status: "ready", KernelRelease: "7.2", Platform: "kvm", Backend: "fake", Mode: "auto"}, devices)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHelpFits(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"status", "--help"}, {"explain", "--help"}, {"watch", "--help"}, {"rescan", "--help"}} {
		if code, out, _ := driverd(t, "", args...); code != 0 || !strings.Contains(out, "Usage:") {
			t.Errorf("driverd %v: %d %s", args, code, out)
		}
	}
}

// Colours are for terminals; main decides what is one.
func TestStatusInColor(t *testing.T) {
	t.Parallel()
	text := console{color: true}.statusText(api.Manager{Status: "ready"}, []api.Device{{Slot: "0000:01:00.0", State: "failed", Reason: "probe-failed"}})
	if !strings.Contains(text, "\x1b["+red+"mfailed (probe-failed)\x1b[m") {
		t.Errorf("%q", text)
	}
}

// The chipset must not drown who needs help, nor hide that itself does.
func TestConcern(t *testing.T) {
	t.Parallel()
	const hostBridge, smbus, nic = 0x060000, 0x0c0500, 0x020000
	for _, test := range []struct {
		device api.Device
		want   concern
	}{
		{api.Device{Class: hostBridge, State: "unsupported"}, chipset},
		{api.Device{Class: hostBridge, State: "unavailable", Reason: "stale-kernel"}, chipset},
		{api.Device{Class: smbus, State: "blocked", Reason: "policy", Group: "hardware"}, chipset},
		{api.Device{Class: smbus, State: "bound", Group: "base"}, chipset},
		{api.Device{Class: hostBridge, State: "failed", Reason: "probe-failed"}, needsHelp},
		{api.Device{Class: hostBridge, State: "blocked", Reason: "driver-override"}, needsHelp},
		{api.Device{Class: hostBridge, State: "unavailable", Group: "passthrough"}, needsHelp},
		{api.Device{Class: hostBridge, State: "bound", Group: "passthrough"}, settled},
		{api.Device{Class: hostBridge, State: "installing"}, inProgress},
		{api.Device{Class: nic, State: "blocked", Reason: "policy"}, needsHelp},
		{api.Device{Class: nic, State: "bound"}, settled},
		{api.Device{Class: nic, State: "a state of tomorrow"}, needsHelp},
	} {
		if got := concernOf(test.device); got != test.want {
			t.Errorf("%+v: %d, want %d", test.device, got, test.want)
		}
	}
}

func TestWithoutService(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.stop() // the bus goes on
	for _, address := range []string{s.bus.Address, nowhere(t)} {
		for _, args := range [][]string{nil, {"status", "--json"}, {"rescan"}, {"watch"}} {
			code, out, complaints := driverd(t, address, args...)
			if code != exitNoService || out != "" || !strings.Contains(complaints, "systemctl start driverd") {
				t.Errorf("driverd %v: %d %q %q", args, code, out, complaints)
			}
		}
	}
}

func TestRescan(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	code, out, complaints := driverd(t, s.bus.Address, "rescan")
	if code != exitFailed || out != "" || !strings.Contains(complaints, "org.fedoraproject.driverd1.rescan") || !strings.Contains(complaints, "sudo") {
		t.Errorf("without polkit: %d %q %q", code, out, complaints)
	}
	polkit := s.bus.Connect(t)
	if err := polkit.Export(allow{}, "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"); err != nil {
		t.Fatal(err)
	}
	if _, err := polkit.RequestName("org.freedesktop.PolicyKit1", 0); err != nil {
		t.Fatal(err)
	}
	const slot = "0000:05:00.0"
	plug(t, s.root, slot, igbModalias, "0x020000", "igb")
	code, out, complaints = driverd(t, s.bus.Address, "rescan")
	if code != 0 || out != "" || complaints != "" {
		t.Errorf("allowed: %d %q %q", code, out, complaints)
	}
	// The rescan returns when it has looked.
	if code, out, _ = driverd(t, s.bus.Address, "explain", slot); code != 0 || !strings.Contains(out, "bound to igb") {
		t.Errorf("%d %s", code, out)
	}
}
