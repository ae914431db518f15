// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"strings"
	"testing"

	"driverd/kernelsplit"
)

// Rules that would cost somebody a guest or a driver are refused, whatever they say.
func TestCheckRefuses(t *testing.T) {
	for _, test := range []struct {
		name, rules string
		modules     []*kernelsplit.Module
		want        string // empty if nothing is wrong
	}{
		{"a device of the hypervisor's bus", "hardware path=kernel/",
			[]*kernelsplit.Module{{Path: "kernel/a.ko", Aliases: []string{"vmbus:635161f83edfc546913ff2d2f965ed0e"}}},
			"kernel/a.ko in hardware (rule \"hardware path=kernel/\" (line 1)): it drives a device of the guest's own, vmbus:"},
		{"the only network card on VirtualBox", "passthrough path=kernel/",
			[]*kernelsplit.Module{{Path: "kernel/pcnet32.ko", Aliases: []string{"pci:v00001022d00002000sv*sd*bc*sc*i*"}}},
			"kernel/pcnet32.ko in passthrough (rule \"passthrough path=kernel/\" (line 1)): it drives the network card pcnet of QEMU pc"},
		{"the power button", "base name=base\ngpu name=nouveau\nhardware path=kernel/",
			[]*kernelsplit.Module{
				{Path: "kernel/button.ko", Aliases: []string{"acpi*:PNP0C0C:*"}},
				{Path: "kernel/nouveau.ko", Aliases: []string{"pci:v000010DEd*sv*sd*bc03sc*i*"}, Depends: []string{"button"}},
			}, "kernel/button.ko in gpu (rule \"hardware path=kernel/\" (line 3)): it drives the power button of QEMU virt (acpi:PNP0C0C:): want it in base"},
		{"a class that a driver elsewhere claims more exactly", "base name=ahci\npassthrough path=kernel/",
			[]*kernelsplit.Module{
				{Path: "kernel/ahci.ko", Aliases: []string{"pci:v*d*sv*sd*bc01sc06i01*"}},
				{Path: "kernel/sata_sil.ko", Aliases: []string{"pci:v00001095d00003112sv*sd*bc*sc*i*"}},
			}, ""},
		{"what no device fetches", "passthrough path=kernel/",
			[]*kernelsplit.Module{{Path: "kernel/dw_dmac.ko", Aliases: []string{"platform:dw_dmac"}}},
			"kernel/dw_dmac.ko in passthrough (rule \"passthrough path=kernel/\" (line 1)): no device of a card there fetches it"},
		{"a PHY of a card of the group", "passthrough path=kernel/",
			[]*kernelsplit.Module{
				{Path: "kernel/nic.ko", Aliases: []string{"pci:v00001234d00000001sv*sd*bc*sc*i*"}, Imports: []string{"__mdiobus_register"}},
				{Path: "kernel/phy.ko", Aliases: []string{"mdio:0000000000011100110010??????????"}},
			}, ""},
		{"a PHY of no card of the group", "passthrough path=kernel/",
			[]*kernelsplit.Module{{Path: "kernel/phy.ko", Aliases: []string{"mdio:0000000000011100110010??????????"}}},
			"kernel/phy.ko in passthrough"},
		{"a child elsewhere", "sriov name=nic\nhardware path=kernel/",
			[]*kernelsplit.Module{
				{Path: "kernel/nic.ko", Aliases: []string{"pci:v00001234d00000001sv*sd*bc*sc*i*"}},
				{Path: "kernel/rdma.ko", Aliases: []string{"auxiliary:nic.rdma"}},
			}, "kernel/rdma.ko in hardware (rule \"hardware path=kernel/\" (line 2)): it drives a part of what nic in sriov drives"},
		{"one device in two groups", "sriov name=nic\nhardware path=kernel/",
			[]*kernelsplit.Module{
				{Path: "kernel/nic.ko", Aliases: []string{"pci:v00001234d00000001sv*sd*bc*sc*i*"}},
				{Path: "kernel/other.ko", Aliases: []string{"pci:v00001234d00000001sv0000ABCDsd*bc02sc*i*"}},
			}, "kernel/other.ko in hardware (rule \"hardware path=kernel/\" (line 2)): nic in sriov claims the same device"},
		{"a card dragged into the base", "base name=vfio_qat\npassthrough path=kernel/",
			[]*kernelsplit.Module{
				{Path: "kernel/vfio_qat.ko", Depends: []string{"qat"}},
				{Path: "kernel/qat.ko", Aliases: []string{"pci:v00001234d00000001sv*sd*bc*sc*i*"}},
			}, "kernel/qat.ko in base (rule \"passthrough path=kernel/\" (line 2)): it drives a card, and is there only for vfio_qat"},
	} {
		t.Run(test.name, func(t *testing.T) {
			split, err := kernelsplit.Divide(release, test.modules, parse(t, test.rules))
			if err != nil {
				t.Fatal(err)
			}
			switch err := split.Check(); {
			case test.want == "" && err != nil:
				t.Errorf("error %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// What follows goes where its card's driver is, however that got there.
func TestFollow(t *testing.T) {
	pci := []string{"pci:v00001234d00000001sv*sd*bc*sc*i*"}
	split, err := kernelsplit.Divide(release, []*kernelsplit.Module{
		{Path: "kernel/vsec.ko", Aliases: pci},
		{Path: "kernel/gpu.ko", Aliases: pci, Depends: []string{"vsec"}},
		{Path: "kernel/telemetry.ko", Aliases: []string{"auxiliary:vsec.telemetry"}, Depends: []string{"class"}},
		{Path: "kernel/class.ko"},
		{Path: "kernel/orphan.ko", Aliases: []string{"auxiliary:builtin.part"}},
		{Path: "kernel/vfio.ko", Depends: []string{"core", "gpu"}, Aliases: []string{"vfio_pci:v00001234d00000001sv*sd*bc*sc*i*"}},
		{Path: "kernel/core.ko"},
	}, parse(t, "gpu name=gpu\nfollow alias=auxiliary:*\nfollow name=vfio\nbase name=core\nhardware path=kernel/"))
	if err != nil {
		t.Fatal(err)
	}
	for g, want := range map[kernelsplit.Group]string{"base": "core", "gpu": "class gpu telemetry vfio vsec", "hardware": "orphan"} {
		if got := names(split.In(g)); got != want {
			t.Errorf("%s has %q, want %q", g, got, want)
		}
	}
	why, err := split.Why("telemetry")
	if err != nil || !strings.Contains(why, "  follows: vsec\n") {
		t.Errorf("why: %s, %v", why, err)
	}
}

// What the base asks for by name is in the base, with what it needs.
func TestAskedForByName(t *testing.T) {
	pci := []string{"pci:v00001234d00000001sv*sd*bc*sc*i*"}
	split, err := kernelsplit.Divide(release, []*kernelsplit.Module{
		{Path: "kernel/scsi_mod.ko", Asks: []string{"scsi_dh_*", "some_card"}},
		{Path: "kernel/scsi_dh_alua.ko", Depends: []string{"lib"}},
		{Path: "kernel/lib.ko"},
		{Path: "kernel/some-card.ko", Aliases: pci},
		{Path: "kernel/radio.ko", Asks: []string{"radio_codec"}},
		{Path: "kernel/radio-codec.ko"},
	}, parse(t, "base name=scsi_mod\nhardware path=kernel/"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(split.In("base")), "lib scsi_dh_alua scsi_mod"; got != want {
		t.Errorf("the base has %q, want %q", got, want)
	}
	why, err := split.Why("scsi_dh_alua")
	if err != nil || !strings.Contains(why, "moved to base: scsi_mod asks for it by name (rule: base name=scsi_mod)") {
		t.Errorf("why: %s, %v", why, err)
	}
}
