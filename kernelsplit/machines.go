// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"path"
	"slices"
	"strings"
)

// Machine is a hypervisor's machine, with the devices of which a guest may have
// no other: what boots it, connects it, shows its console, types on it, shuts it
// down.
type Machine struct {
	Name    string
	Source  string // where the devices are documented
	Devices []MachineDevice
}

// MachineDevice is one device of a machine.
type MachineDevice struct {
	What     string
	Modalias string // as sysfs shows it; "0" where any value will do
}

// Machines lists the machines that the base has to serve.
func Machines() []Machine { return machines }

var machines = []Machine{
	{
		Name:   "QEMU pc",
		Source: "QEMU: hw/i386/pc_piix.c, docs/system/i386/pc.rst, docs/specs/pci-ids.rst, qemu(1) -nic, -vga and -usb",
		Devices: slices.Concat(qemu, []MachineDevice{
			{"IDE disk", pci("8086:7010", "010180")},
			{"network card e1000, the default", pci("8086:100E", "020000")},
			{"USB 1 host", pci("8086:7020", "0C0300")},
		}),
	},
	{
		Name:   "QEMU q35",
		Source: "QEMU: hw/i386/pc_q35.c, docs/config/q35-virtio-graphical.cfg, docs/system/devices/usb.rst",
		Devices: slices.Concat(qemu, []MachineDevice{
			{"AHCI disk", pci("8086:2922", "010601")},
			{"network card e1000e, the default", pci("8086:10D3", "020000")},
			{"USB 1 host", pci("8086:2934", "0C0300")},
			{"USB 2 host", pci("8086:293A", "0C0320")},
		}),
	},
	{
		Name:   "QEMU virt",
		Source: "QEMU: docs/system/arm/virt.rst, hw/arm/virt-acpi-build.c, hw/arm/virt.c (create_gpio_keys)",
		Devices: slices.Concat(qemu, []MachineDevice{
			{"virtio without PCI", "acpi:LNRO0005:"},
			{"power button of a device tree", "of:Ngpio-keysT(null)Cgpio-keys"},
			{"real-time clock of UEFI", "platform:rtc-efi"},
			{"random numbers of the firmware", "platform:smccc_trng"},
		}),
	},
	{
		Name:   "Xen HVM",
		Source: "xl.cfg(5): hdtype, model of a vif, vga, usbctrl",
		Devices: slices.Concat(usb, []MachineDevice{
			{"IDE disk", pci("8086:7010", "010180")},
			{"SCSI disk", pci("1000:0012", "010000")},
			{"network card rtl8139, the default", pci("10EC:8139", "020000")},
			{"network card e1000", pci("8086:100E", "020000")},
			{"display cirrus", pci("1013:00B8", "030000")},
			{"display stdvga", pci("1234:1111", "030000")},
			{"USB 1 host", pci("8086:7020", "0C0300")},
			{"power button", "acpi:PNP0C0C:"},
		}),
	},
	{
		Name:   "Hyper-V",
		Source: "Microsoft: Should I create a generation 1 or 2 virtual machine in Hyper-V; drivers/pci/controller/pci-hyperv.c. What is on VMBus is looked at apart.",
		Devices: []MachineDevice{
			{"IDE disk of generation 1", pci("8086:7111", "010180")},
			{"legacy network adapter of generation 1", pci("1011:0009", "020000")},
			{"network card of Azure", pci("1414:00BA", "020000")},
			{"battery", "acpi:PNP0C0A:"},
			{"TPM", "acpi:MSFT0101:"},
		},
	},
	{
		Name:   "VMware ESXi",
		Source: "vSphere: Network Adapter Types; SCSI, SATA and NVMe storage controller conditions, limitations and compatibility; pci.ids of vendor 15ad",
		Devices: slices.Concat(usb, []MachineDevice{
			{"IDE disk", pci("8086:7111", "01018A")},
			{"LSI Logic parallel", pci("1000:0030", "010000")},
			{"LSI Logic SAS", pci("1000:0054", "010700")},
			{"BusLogic", pci("104B:1040", "010000")},
			{"paravirtual SCSI", pci("15AD:07C0", "010700")},
			{"AHCI disk", pci("15AD:07E0", "010601")},
			{"NVMe disk", pci("15AD:07F0", "010802")},
			{"network card vmxnet3", pci("15AD:07B0", "020000")},
			{"network card e1000", pci("8086:100F", "020000")},
			{"network card e1000e", pci("8086:10D3", "020000")},
			{"network card vlance", pci("1022:2000", "020000")},
			{"display", pci("15AD:0405", "030000")},
			{"USB 1 host", pci("15AD:0774", "0C0300")},
			{"USB 2 host", pci("15AD:0770", "0C0320")},
			{"USB 3 host", pci("15AD:0779", "0C0330")},
			{"channel to the host", pci("15AD:0740", "088000")},
			{"power button", "acpi:PNP0C0C:"},
			{"AC adapter", "acpi:ACPI0003:"},
			{"TPM", "acpi:MSFT0101:"},
		}),
	},
	{
		Name:   "VirtualBox",
		Source: "Oracle VirtualBox user manual: Hard Disk Controllers, Virtual Networking Hardware, USB Support, Display Settings",
		Devices: slices.Concat(usb, []MachineDevice{
			{"IDE disk", pci("8086:7111", "01018A")},
			{"AHCI disk", pci("8086:2829", "010601")},
			{"LSI Logic parallel", pci("1000:0030", "010000")},
			{"LSI Logic SAS", pci("1000:0054", "010700")},
			{"BusLogic", pci("104B:1040", "010000")},
			{"NVMe disk", pci("80EE:4E56", "010802")},
			{"network card PCnet", pci("1022:2000", "020000")},
			{"network card 82540EM", pci("8086:100E", "020000")},
			{"network card 82543GC", pci("8086:1004", "020000")},
			{"network card 82545EM", pci("8086:100F", "020000")},
			{"display VBoxVGA", pci("80EE:BEEF", "030000")},
			{"display VMSVGA", pci("15AD:0405", "030000")},
			{"guest's channel to the host", pci("80EE:CAFE", "088000")},
			{"USB 1 host", pci("106B:003F", "0C0310")},
			{"USB 2 host", pci("8086:265C", "0C0320")},
			{"USB 3 host", pci("8086:1E31", "0C0330")},
			{"power button", "acpi:PNP0C0C:"},
			{"AC adapter", "acpi:ACPI0003:"},
			{"battery", "acpi:PNP0C0A:"},
		}),
	},
	{
		Name:   "AWS Nitro",
		Source: "Linux: drivers/net/ethernet/amazon/ena/ena_pci_id_tbl.h, drivers/misc/nsm.c, drivers/virt/nitro_enclaves, drivers/ptp/ptp_vmclock.c; AWS: Amazon EBS and NVMe",
		Devices: []MachineDevice{
			{"EBS disk", pci("1D0F:8061", "010802")},
			{"network card", pci("1D0F:EC20", "020000")},
			{"enclaves", pci("1D0F:E4C1", "088000")},
			{"clock", "acpi:AMZNC10C:"},
			{"power button", "acpi:PNP0C0C:"},
		},
	},
	{
		Name:   "Google Compute Engine",
		Source: "Linux: drivers/net/ethernet/google/gve/gve.h; Google Cloud: About Persistent Disk, Using Google Virtual NIC",
		Devices: []MachineDevice{
			{"network card", pci("1AE0:0042", "020000")},
			{"NVMe disk", pci("1AE0:001F", "010802")},
			{"power button", "acpi:PNP0C0C:"},
		},
	},
	{
		Name:   "confidential guest",
		Source: "Linux: Documentation/virt/coco, drivers/virt/coco, drivers/char/tpm/tpm_svsm.c",
		Devices: []MachineDevice{
			{"SEV attestation", "platform:sev-guest"},
			{"TDX attestation", "cpu:type:x86,ven0000fam0000mod0000:feature:,02C5,"},
			{"Arm CCA attestation", "platform:arm-cca-dev"},
			{"secrets from the owner", "platform:efi_secret"},
			{"TPM of SVSM", "platform:tpm-svsm"},
		},
	},
}

// qemu are the devices that QEMU can give any of its machines.
var qemu = slices.Concat(usb, []MachineDevice{
	{"disk on an LSI controller", pci("1000:0012", "010000")},
	{"NVMe disk", pci("1B36:0010", "010802")},
	{"network card e1000", pci("8086:100E", "020000")},
	{"network card e1000e", pci("8086:10D3", "020000")},
	{"network card pcnet", pci("1022:2000", "020000")},
	{"network card rtl8139", pci("10EC:8139", "020000")},
	{"network card ne2k_pci", pci("10EC:8029", "020000")},
	{"network card vmxnet3", pci("15AD:07B0", "020000")},
	{"display std", pci("1234:1111", "030000")},
	{"display bochs-display", pci("1234:1111", "038000")},
	{"display cirrus", pci("1013:00B8", "030000")},
	{"display qxl", pci("1B36:0100", "030000")},
	{"display vmware", pci("15AD:0405", "030000")},
	{"USB 3 host", pci("1B36:000D", "0C0330")},
	{"USB 3 host of NEC", pci("1033:0194", "0C0330")},
	{"fw_cfg", "acpi:QEMU0002:"},
	{"persistent memory", "acpi:ACPI0012:"},
	{"generation id", "acpi:QEMUVGID:VM_GEN_COUNTER:"},
	{"panic notifier", pci("1B36:0011", "080000")},
	{"power button", "acpi:PNP0C0C:"},
	{"sleep button", "acpi:PNP0C0E:"},
	{"TPM", "acpi:MSFT0101:"},
})

// usb are the devices that hypervisors put behind a USB host of theirs.
var usb = []MachineDevice{
	{"USB hub", "usb:v0409p55AAd0101dc09dsc00dp00ic09isc00ip00in00"},
	{"USB keyboard", "usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip01in00"},
	{"USB tablet", "usb:v0E0Fp0003d0102dc00dsc00dp00ic03isc00ip02in00"},
	{"keys of a USB keyboard", "hid:b0003g0001v00000627p00000001"},
	{"USB disk", "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00"},
}

// pci is the modalias of a device with these ids, and with a class as sysfs
// shows it.
func pci(id, class string) string {
	return "pci:v0000" + id[:4] + "d0000" + id[5:] + "sv00000000sd00000000bc" + class[:2] + "sc" + class[2:4] + "i" + class[4:]
}

// claimants returns the modules that drive a device: of those on PCI that name
// it if any does, else those that name its class. A driver of the frame buffer of a
// display is none: they are blacklisted since there are better ones.
func (s *Split) claimants(modalias string) []*Placement {
	var named, others []*Placement
	for _, p := range s.Placements {
		if strings.HasPrefix(p.Path, "kernel/drivers/video/fbdev/") {
			continue
		}
		for _, a := range p.Aliases {
			if ok, err := path.Match(a, modalias); !ok || err != nil {
				continue
			}
			if claim, ok := parsePCI(a); ok && claim.namesDevice() {
				named = append(named, p)
			} else {
				others = append(others, p)
			}
			break
		}
	}
	if len(named) > 0 {
		return named
	}
	return others
}
