// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"slices"
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// law forbids modules by name.
type law map[string]string

func (l law) Denial(_, module string) string { return l[module] }

// What must not be loaded is not installed.
func TestLaw(t *testing.T) {
	t.Parallel()
	const line = `"blacklist igb" in /etc/modprobe.d/dpdk.conf:3`
	has := map[string][]string{igb: {"igb"}}
	both := map[string][]string{igb: {"ata_generic", "igb"}}
	build := map[string][]hwdetect.Module{igb: {{Name: "igb", Group: "sriov"}}}
	for name, test := range map[string]struct {
		kernel kernel
		law    law
		action plan.Action
		reason reason.Reason
		loads  []string
	}{
		"of a module to be installed":   {kernel{shipped: build}, law{"igb": line}, plan.Nothing, reason.Blacklisted, []string{"igb"}},
		"of an installed module":        {kernel{installed: has}, law{"igb": line}, plan.Nothing, reason.Blacklisted, []string{"igb"}},
		"of another module":             {kernel{shipped: build}, law{"ixgbe": line}, plan.Install, "", []string{"igb"}},
		"of one of two":                 {kernel{installed: both}, law{"ata_generic": line}, plan.Load, "", []string{"igb"}},
		"of both":                       {kernel{installed: both}, law{"ata_generic": "x", "igb": line}, plan.Nothing, reason.Blacklisted, []string{"ata_generic", "igb"}},
		"of what is installed alone":    {kernel{installed: map[string][]string{igb: {"ata_generic"}}, shipped: build}, law{"ata_generic": line}, plan.Install, "", []string{"igb"}},
		"of the one that is known":      {kernel{installed: map[string][]string{igb: {"ata_generic"}}}, law{"ata_generic": line}, plan.Install, "", nil},
		"of a module in the kernel":     {kernel{builtIn: has, shipped: build}, law{"igb": line}, plan.Await, "", []string{"igb"}},
		"while nobody knows the driver": {kernel{}, law{"igb": line}, plan.Install, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := plan.Decide(card, plan.Facts{Release: release, Kernel: test.kernel, Catalog: catalog(), Law: test.law})
			if got.Action != test.action || got.Reason != test.reason || !slices.Equal(got.Modules, test.loads) {
				t.Errorf("%+v", got)
			}
			if test.reason != "" && (got.State != plan.Blocked || !strings.Contains(got.Message, line)) {
				t.Errorf("%s: %s", got.State, got.Message)
			}
		})
	}
	driven := card
	driven.Driver = "igb"
	if got := plan.Decide(driven, plan.Facts{Kernel: kernel{installed: has}, Law: law{"igb": line}}); got.State != plan.Bound {
		t.Errorf("a device that has its driver: %+v", got)
	}
}

// A virtual function whose physical function keeps it for others is left alone.
func TestProbeOff(t *testing.T) {
	t.Parallel()
	function := card
	function.PhysFn, function.ProbeOff = &hwdetect.Slot{Bus: 0x3b}, true
	got := plan.Decide(function, plan.Facts{Release: release, Kernel: kernel{}, Catalog: catalog()})
	if got.Action != plan.Nothing || got.State != plan.Blocked || got.Reason != reason.DriverOverride ||
		!strings.Contains(got.Message, "/sys/bus/pci/devices/0000:3b:00.0/sriov_drivers_autoprobe") {
		t.Errorf("%+v", got)
	}
	function.Driver = "vfio-pci"
	if got := plan.Decide(function, plan.Facts{Kernel: kernel{}}); got.State != plan.Bound {
		t.Errorf("with a driver: %+v", got)
	}
}
