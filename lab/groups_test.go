// SPDX-License-Identifier: Apache-2.0

//go:build lab

package lab_test

import (
	_ "embed" // for container.sh
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"driverd/lab"
)

//go:embed testdata/container.sh
var containerScript string

// containerModules are what testdata/container.sh makes the kernel load.
var containerModules = []string{
	"overlay", "veth", "bridge", "br_netfilter", "nf_tables", "nft_chain_nat", "nft_masq",
	"nf_nat", "nf_conntrack", "nft_compat", "xt_comment", "xt_addrtype", "xt_conntrack", "xt_MASQUERADE",
}

// baseImage is that of a guest with the base alone, as the split makes it.
func baseImage(t *testing.T) *lab.Image {
	t.Helper()
	if err := lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	image, err := lab.BuildBaseImage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestBaseAlone has a guest with the base alone for each network card that a
// hypervisor may give it as the only one, type on a USB keyboard, and shut down by the
// power button.
func TestBaseAlone(t *testing.T) {
	image := baseImage(t)
	for nic, driver := range map[string]string{"e1000": "e1000", "e1000e": "e1000e", "pcnet": "pcnet32", "vmxnet3": "vmxnet3"} {
		t.Run(nic, func(t *testing.T) {
			g := bareGuest(t, lab.Options{Image: image}, lab.Start{NoNIC: true, Devices: []lab.Device{
				{ID: "nic", Driver: nic, Props: map[string]any{"netdev": "net"}},
				{ID: "usb", Driver: "qemu-xhci"},
				{ID: "keyboard", Driver: "usb-kbd", Port: "usb.0"},
			}})
			until(t, g, "ls /sys/bus/pci/drivers/"+driver+"/0000:*/net")
			until(t, g, "dev=$(basename /sys/bus/pci/drivers/"+driver+"/0000:*/net/*); ip address replace 10.0.2.15/24 dev $dev && ip link set $dev up")
			until(t, g, "dnf5 -q makecache --refresh")

			// What the lab's guests leave out at boot, to be quick.
			output(t, g, "udevadm trigger --action=add --settle; systemctl start systemd-logind")
			const keyboard = "/dev/input/by-path/*usb*-event-kbd"
			until(t, g, "ls "+keyboard)
			output(t, g, "(head -c 24 "+keyboard+" >/run/typed; mv /run/typed /run/typed.key) >/dev/null 2>&1 &")
			for typed := false; !typed; { // until somebody reads it
				if err := g.Type(within(t, patience), "a"); err != nil {
					t.Fatal(err)
				}
				r, err := g.Run(within(t, patience), "test -s /run/typed.key")
				if err != nil || t.Context().Err() != nil {
					t.Fatal(err)
				}
				typed = r.Code == 0
			}

			if err := g.PressPower(within(t, patience)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBase has a guest with the base alone run a container, and then takes the three
// groups of what is passed through.
func TestBase(t *testing.T) {
	g := bareGuest(t, lab.Options{Image: baseImage(t)}, lab.Start{})

	t.Run("a container runs with the base alone", func(t *testing.T) {
		if out := output(t, g, containerScript); out != "nft 200\niptables 200" {
			t.Errorf("the container said %q", out)
		}
		loaded := strings.Fields(output(t, g, "lsmod | tail -n +2 | cut -d' ' -f1"))
		for _, name := range containerModules {
			if !slices.Contains(loaded, name) {
				t.Errorf("%s is not loaded", name)
			}
		}
		if got := output(t, g, "rpm -qf --qf '%{NAME}\\n' $(modinfo -n "+strings.Join(loaded, " ")+") | sort -u"); got != "kernel-modules-core" {
			t.Errorf("the loaded modules are of %q", got)
		}
	})

	t.Run("three in one transaction", func(t *testing.T) {
		countDepmods(t, g)
		once(t, g, "install", wanted("modules-sriov"), wanted("modules-gpu"), wanted("modules-passthrough"))
		output(t, g, "modprobe -a ixgbevf radeon mpt3sas")
	})
}

// countDepmods has every run of depmod leave a line from here on.
func countDepmods(t *testing.T, g *lab.Guest) {
	t.Helper()
	output(t, g, `mv /usr/sbin/depmod /usr/sbin/depmod.real
printf '%s\n' '#!/bin/bash' 'echo "$@" >>/run/depmods' 'exec -a depmod /usr/sbin/depmod.real "$@"' >/usr/sbin/depmod
chmod +x /usr/sbin/depmod`)
}

// TestGroups has the subpackages come and go in a guest that has the base alone.
func TestGroups(t *testing.T) {
	g := bareGuest(t, lab.Options{Image: baseImage(t)}, lab.Start{})
	countDepmods(t, g)

	for _, group := range []struct {
		name   string
		device lab.Device
		driver string
	}{
		{"sriov", lab.Device{ID: "nic", Driver: "igb"}, "igb"},
		{"passthrough", lab.Device{ID: "hba", Driver: "megasas"}, "megaraid_sas"},
	} {
		t.Run(group.name+" alone", func(t *testing.T) {
			once(t, g, "install", wanted("modules-"+group.name))
			if got := subpackages(t, g); !slices.Equal(got, []string{"kernel-modules-core", "kernel-modules-" + group.name}) {
				t.Errorf("installed: %v", got)
			}
			bind(t, g, group.device, group.driver)
			once(t, g, "remove", installed("modules-"+group.name))
		})
	}

	t.Run("one of three removed", func(t *testing.T) {
		once(t, g, "install", wanted("modules-sriov"), wanted("modules-gpu"), wanted("modules-passthrough"))
		once(t, g, "remove", installed("modules-gpu"))
		output(t, g, "modprobe -a ixgbe hpsa; ! modprobe ast 2>/dev/null")
	})

	t.Run("one comes and another goes", func(t *testing.T) {
		once(t, g, "swap", installed("modules-passthrough"), wanted("modules-gpu"))
		output(t, g, "modprobe -a ast ice; ! modprobe mpt3sas 2>/dev/null")
	})

	t.Run("all other hardware", func(t *testing.T) {
		once(t, g, "install", wanted("modules"))
		if got := subpackages(t, g); len(got) != 5 {
			t.Errorf("installed: %v", got)
		}
		bind(t, g, lab.Device{ID: "card", Driver: "sdhci-pci"}, "sdhci-pci")
	})
}

// wanted names a subpackage of the running kernel by what it provides.
func wanted(subpackage string) string {
	return fmt.Sprintf(`"kernel-%s-uname-r = $(uname -r)"`, subpackage)
}

// installed names a subpackage that is installed: dnf5 finds what to install by
// what it provides, and what to remove not.
func installed(subpackage string) string {
	return fmt.Sprintf("$(rpm -q --whatprovides kernel-%s-uname-r)", subpackage)
}

// once runs one transaction of dnf5, and sees that depmod ran once, for the
// running kernel.
func once(t *testing.T, g *lab.Guest, verb string, packages ...string) {
	t.Helper()
	start := time.Now()
	output(t, g, "rm -f /run/depmods; dnf5 -y "+verb+" "+strings.Join(packages, " "))
	t.Logf("%s %v took %.0f s", verb, packages, time.Since(start).Seconds())
	if got, want := output(t, g, "cat /run/depmods"), "-a "+output(t, g, "uname -r"); got != want {
		t.Errorf("%s %v: depmod ran with %q, want %q", verb, packages, got, want)
	}
}

// bind plugs a device in and loads what its modalias asks for.
func bind(t *testing.T, g *lab.Guest, d lab.Device, driver string) {
	t.Helper()
	slot, err := g.Plug(within(t, patience), d)
	if err != nil {
		t.Fatal(err)
	}
	dir := "/sys/bus/pci/devices/" + slot.String()
	until(t, g, "test -e "+dir)
	output(t, g, "modprobe $(cat "+dir+"/modalias)")
	until(t, g, "test $(basename $(readlink "+dir+"/driver)) = "+driver)
}

func subpackages(t *testing.T, g *lab.Guest) []string {
	t.Helper()
	return strings.Fields(output(t, g, `rpm -qa --qf '%{NAME}\n' 'kernel-modules*' | sort`))
}
