// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/api"
	"driverd/internal/report"
)

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
  For details:
    driverd explain SLOT
  To retry now:
    driverd rescan

Bound
  0000:01:00.0  igbvf  and 59 more: Intel Virtual Function
  0000:03:00.0  nvme   pci:v1
`
	got := console{columns: 80}.statusText(report.Status{
		Manager: api.Manager{Version: "1", Status: "ready", KernelRelease: "7.2", Platform: "kvm", Backend: "fake", Mode: "auto"}, Devices: devices,
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The next kernel is ready, or the way to make it so is shown.
func TestStatusOfNextKernel(t *testing.T) {
	t.Parallel()
	for want, next := range map[string]api.NextKernel{
		"next kernel 7.3: ready\n": {Release: "7.3", Ready: true},
		"next kernel 7.3: ready. The boot loader may start another one: permission denied\n":                         {Release: "7.3", Ready: true, Message: "The boot loader may start another one: permission denied"},
		"next kernel 7.3: lacks the driver of 0000:01:00.0. To install it:\n  driverd image install --for 7.3 gpu\n": {Release: "7.3", Message: "lacks the driver of 0000:01:00.0. To install it: driverd image install --for 7.3 gpu"},
	} {
		got := console{}.statusText(report.Status{Manager: api.Manager{Status: "ready", NextKernel: &next}})
		if !strings.Contains(got, want) {
			t.Errorf("%s does not say %s", got, want)
		}
	}
}

// Colours are for terminals; main decides what is one.
func TestStatusInColor(t *testing.T) {
	t.Parallel()
	text := console{color: true}.statusText(report.Status{
		Manager: api.Manager{Status: "ready"}, Devices: []api.Device{
			{Slot: "0000:01:00.0", State: "failed", Reason: "probe-failed"},
			{Slot: "0000:02:00.0", State: "blocked", Reason: "driver-override", Message: "driver_override reserves it"},
		},
	})
	if !strings.Contains(text, "\x1b["+red+"mfailed (probe-failed)\x1b[m") ||
		!strings.Contains(text, "\n\nLeft alone\n  0000:02:00.0  blocked (driver-override)\n") || !strings.Contains(text, ", 1 left alone\n") {
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
		{api.Device{Class: hostBridge, State: "blocked", Reason: "driver-override"}, leftAlone},
		{api.Device{Class: hostBridge, State: "unavailable", Group: "passthrough"}, needsHelp},
		{api.Device{Class: hostBridge, State: "bound", Group: "passthrough"}, settled},
		{api.Device{Class: hostBridge, State: "installing"}, inProgress},
		{api.Device{Class: nic, State: "blocked", Reason: "policy"}, leftAlone},
		{api.Device{Class: nic, State: "blocked", Reason: "unbound"}, leftAlone},
		{api.Device{Class: nic, State: "blocked", Reason: "observe-only"}, needsHelp},
		{api.Device{Class: nic, State: "bound"}, settled},
		{api.Device{Class: nic, State: "a state of tomorrow"}, needsHelp},
	} {
		if got := concernOf(test.device); got != test.want {
			t.Errorf("%+v: %d, want %d", test.device, got, test.want)
		}
	}
}
