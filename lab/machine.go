// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"path/filepath"
)

// Machine is a type of machine that QEMU emulates. It determines how a guest is notified
// of a card that is plugged in.
type Machine string

// The machines.
const (
	Q35       Machine = ""           // PCI Express; ACPI notifies of cards in root ports
	Q35Native Machine = "q35-native" // PCI Express; the root ports notify (pciehp)
	I440FX    Machine = "pc"         // one conventional PCI bus; ACPI notifies
	MicroVM   Machine = "microvm"    // no PCI: the kernel's command line lists the devices
	Virt      Machine = "virt"       // AArch64 with a device tree, no ACPI; PCI Express; the root ports notify
)

// arguments returns QEMU's arguments for the machine and for what cards are plugged into.
func (m Machine) arguments() []string {
	switch m {
	case I440FX:
		return []string{"-machine", "pc,usb=off,vmport=off"}
	case MicroVM:
		return []string{"-machine", "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=off,auto-kernel-cmdline=on",
			"-global", "virtio-mmio.force-legacy=off"}
	}
	args := []string{"-machine", "q35,sata=off,usb=off,smbus=off,vmport=off"}
	switch m {
	case Q35Native:
		args = append(args, "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
	case Virt:
		args = []string{"-machine", "virt,gic-version=3"}
	}
	// Root ports come first, so that their buses are numbered from 01.
	for n := 1; n <= rootPorts; n++ {
		port := fmt.Sprintf("pcie-root-port,id=%s,chassis=%d,slot=%d,addr=%#x.%#x,multifunction=on", rootPort(n), n, n, 2+(n-1)/8, (n-1)%8)
		if rootPort(n) == widePort {
			port += ",pref64-reserve=128M,mem-reserve=16M,bus-reserve=1"
		}
		args = append(args, "-device", port)
	}
	return args
}

// bus returns the bus of a card that names none, empty if each card gets a root port.
func (m Machine) bus() string {
	if m == I440FX {
		return "pci.0"
	}
	return ""
}

// virtio returns QEMU's arguments for a virtio device: on PCI, in the given slot, or on
// the bus of a machine without PCI.
func (m Machine) virtio(kind, slot, properties string) []string {
	if m == MicroVM {
		return []string{"-device", "virtio-" + kind + "-device" + properties}
	}
	return []string{"-device", "virtio-" + kind + "-pci,addr=" + slot + properties}
}

// console returns QEMU's arguments for the guest's console, which goes to a file in dir or
// to the terminal.
func (m Machine) console(dir string, terminal bool) []string {
	to := "file:" + filepath.Join(dir, "console")
	if terminal {
		to = "mon:stdio"
	}
	if m == MicroVM {
		return []string{"-serial", "null", "-chardev", "file,id=console,path=" + filepath.Join(dir, "console"), "-device", "virtconsole,chardev=console"}
	}
	return []string{"-serial", to}
}
