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
	Source  string // files and pages that name the devices; a comment marks what was not found there
	Devices []MachineDevice
}

// MachineDevice is one device of a machine.
type MachineDevice struct {
	What     string
	Modalias string // as sysfs shows it; "0" where any value will do
}

// Machines lists the machines that the base has to serve.
func Machines() []Machine { return machines }

// The power button is LNXPWRBN where the FADT declares it, and PNP0C0C where the
// DSDT does.
var machines = []Machine{
	{
		Name:   "QEMU pc",
		Source: "QEMU: hw/i386/pc_piix.c (pc_init1, default NIC), hw/ide/piix.c, hw/net/e1000.c, hw/usb/hcd-uhci.c, hw/i386/acpi-build.c (flags of the FADT)",
		Devices: slices.Concat(qemu, []MachineDevice{
			{"IDE disk", pci("8086:7010", "010180")},
			{"network card e1000, the default", pci("8086:100E", "020000")},
			{"USB 1 host", pci("8086:7020", "0C0300")},
			{"power button", "acpi:LNXPWRBN:"},
		}),
	},
	{
		Name:   "QEMU q35",
		Source: "QEMU: hw/i386/pc_q35.c (pc_q35_init, default NIC), hw/ide/ich.c, hw/net/e1000e.c, hw/usb/hcd-uhci.c, hw/usb/hcd-ehci-pci.c, hw/i386/acpi-build.c (flags of the FADT)",
		Devices: slices.Concat(qemu, []MachineDevice{
			{"AHCI disk", pci("8086:2922", "010601")},
			{"network card e1000e, the default", pci("8086:10D3", "020000")},
			{"USB 1 host", pci("8086:2934", "0C0300")},
			{"USB 2 host", pci("8086:293A", "0C0320")},
			{"power button", "acpi:LNXPWRBN:"},
		}),
	},
	{
		Name:   "QEMU virt",
		Source: "QEMU: docs/system/arm/virt.rst (supported devices), hw/arm/virt-acpi-build.c, hw/acpi/generic_event_device.c (power button), hw/arm/virt.c (create_gpio_keys); Linux: drivers/firmware/efi/efi.c (rtc-efi), drivers/firmware/smccc/smccc.c (smccc_trng)",
		Devices: slices.Concat(qemu, []MachineDevice{
			{"virtio without PCI", "acpi:LNRO0005:"},
			{"power button", "acpi:PNP0C0C:"},
			{"power button of a device tree", "of:Ngpio-keysT(null)Cgpio-keys"},
			{"real-time clock of UEFI", "platform:rtc-efi"},
			{"random numbers of the firmware", "platform:smccc_trng"},
		}),
	},
	{
		Name:   "Xen HVM",
		Source: "Xen: xl.cfg(5) hdtype, vga and usbversion; xl-network-configuration(5) model; tools/libs/light/libxl_dm.c (lsi53c895a, USB hosts); tools/libacpi: static_tables.c (flags of the FADT), ssdt_tpm2.asl. The ids are those of QEMU.",
		Devices: slices.Concat(usb, []MachineDevice{
			{"IDE disk", pci("8086:7010", "010180")},
			{"AHCI disk", pci("8086:2922", "010601")},
			{"SCSI disk", pci("1000:0012", "010000")},
			{"network card rtl8139, the default", pci("10EC:8139", "020000")},
			{"network card e1000", pci("8086:100E", "020000")},
			{"display cirrus, the default", pci("1013:00B8", "030000")},
			{"display stdvga", pci("1234:1111", "030000")},
			{"display qxl", pci("1B36:0100", "030000")},
			{"USB 1 host", pci("8086:7020", "0C0300")},
			{"USB 2 host", pci("8086:293A", "0C0320")},
			{"USB 3 host", pci("1033:0194", "0C0330")},
			{"power button", "acpi:LNXPWRBN:"},
			{"TPM", "acpi:MSFT0101:"},
		}),
	},
	{
		Name:   "Hyper-V",
		Source: "Microsoft: Should I create a generation 1 or 2 virtual machine in Hyper-V (device support); microsoft/openvmm: Guide, ide.md and pci_ids.md; microsoft/mu_msvm: MsvmPkg/AcpiTables/Dsdt.asl. Linux: include/net/mana/gdma.h. What is on VMBus is looked at apart.",
		Devices: []MachineDevice{
			{"IDE disk of generation 1", pci("8086:7111", "010180")},
			// Microsoft's blog names an Intel 21140 (Virtual PC Guy, The real "legacy"
			// network adapter). The id is from pci.ids; what Hyper-V shows was not checked.
			{"legacy network adapter of generation 1", pci("1011:0009", "020000")},
			{"display of generation 1", pci("1414:5353", "030000")},
			{"network card of Azure", pci("1414:00BA", "020000")},
			{"battery", "acpi:PNP0C0A:"},
			{"AC adapter", "acpi:ACPI0003:"},
			{"TPM", "acpi:MSFT1001:MSFT0101:VTPM0101:"},
		},
	},
	{
		Name:   "VMware ESXi",
		Source: "vSphere Virtual Machine Administration: Network Adapter Types, How Storage Controller Technology Works, Virtual Machine Hardware Available, Add a USB Controller; pci.ids: vendor 15ad, and subsystems 15ad of other vendors' devices. Classes, button and adapter: boot logs of guests.",
		Devices: slices.Concat(usb, []MachineDevice{
			{"IDE disk", pci("8086:7111", "01018A")},
			{"LSI Logic parallel", pci("1000:0030", "010000")},
			{"LSI Logic SAS", pci("1000:0054", "010700")},    // the class was not checked
			{"BusLogic", pci("104B:1040", "010000")},         // the id was not checked
			{"paravirtual SCSI", pci("15AD:07C0", "010700")}, // the class was not checked
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
			{"power button", "acpi:LNXPWRBN:"},
			{"AC adapter", "acpi:ACPI0003:"},
			{"TPM", "acpi:MSFT0101:"}, // the id was not checked
		}),
	},
	{
		Name:   "VirtualBox",
		Source: "VirtualBox user manual: Hard Disk Controllers, Virtual Networking Hardware, USB Settings, Screen Tab; src/VBox/Devices: Storage, Network, USB, Graphics/DevVGA.cpp, VMMDev/VMMDev.cpp, PC/DevACPI.cpp (flags of the FADT), PC/vbox.dsl, PC/vbox-tpm.dsl",
		Devices: slices.Concat(usb, []MachineDevice{
			{"IDE disk of PIIX3", pci("8086:7010", "01018A")},
			{"IDE disk of PIIX4", pci("8086:7111", "01018A")},
			{"IDE disk of ICH6", pci("8086:269E", "01018A")},
			{"AHCI disk", pci("8086:2829", "010601")},
			{"LSI Logic parallel", pci("1000:0030", "010000")},
			{"LSI Logic SAS", pci("1000:0054", "010000")},
			{"BusLogic", pci("104B:1040", "010000")},
			// It boots with EFI only. The id is from a guest: an example of SPDK shows it.
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
			{"power button", "acpi:LNXPWRBN:"},
			{"AC adapter", "acpi:ACPI0003:"},
			{"battery", "acpi:PNP0C0A:"},
			{"TPM", "acpi:MSFT0101:"},
		}),
	},
	{
		Name:   "AWS Nitro",
		Source: "AWS: Amazon EBS and NVMe; Linux: drivers/nvme/host/pci.c (8061), drivers/net/ethernet/amazon/ena/ena_pci_id_tbl.h, drivers/virt/nitro_enclaves/ne_pci_dev.h, drivers/ptp/ptp_vmclock.c. Classes and button: boot logs of x86 guests.",
		Devices: []MachineDevice{
			{"EBS disk", pci("1D0F:8061", "010802")},
			{"network card", pci("1D0F:EC20", "020000")},
			{"enclaves", pci("1D0F:E4C1", "088000")}, // the class was not checked
			{"clock", "acpi:AMZNC10C:"},
			{"power button", "acpi:LNXPWRBN:"},
			{"power button", "acpi:PNP0C0C:"}, // of Graviton; not checked
		},
	},
	{
		Name:   "Google Compute Engine",
		Source: "Google Cloud: About Persistent Disk (storage interface types), Using Google Virtual NIC; Linux: drivers/net/ethernet/google/gve/gve.h; pci.ids of vendor 1ae0. Classes and button: boot logs of guests in reports of syzbot.",
		Devices: []MachineDevice{
			{"network card", pci("1AE0:0042", "020000")},
			{"NVMe disk", pci("1AE0:001F", "010802")},
			{"power button", "acpi:LNXPWRBN:"},
			{"power button", "acpi:PNP0C0C:"}, // of Arm guests; not checked
		},
	},
	{
		Name:   "confidential guest",
		Source: "Linux: Documentation/virt/coco, drivers/virt/coco, arch/x86/include/asm/cpufeatures.h (X86_FEATURE_TDX_GUEST), arch/arm64/include/asm/rsi.h (RSI_PDEV_NAME), drivers/firmware/efi/efi.c (efi_secret), drivers/char/tpm/tpm_svsm.c",
		Devices: []MachineDevice{
			{"SEV attestation", "platform:sev-guest"},
			{"TDX attestation", "cpu:type:x86,ven0000fam0000mod0000:feature:,0116,"},
			{"Arm CCA attestation", "platform:arm-cca-dev"},
			{"secrets from the owner", "platform:efi_secret"},
			{"TPM of SVSM", "platform:tpm-svsm"},
		},
	},
}

// qemu are the devices that QEMU can give any of its machines. The PCI ids are in
// its include/hw/pci/pci_ids.h and docs/specs/pci-ids.rst; the classes are in the
// files that emulate the devices: hw/scsi/lsi53c895a.c, hw/nvme/ctrl.c, hw/net,
// hw/display, hw/usb and hw/misc/pvpanic-pci.c. The ACPI ids are in
// hw/acpi/nvdimm.c, hw/acpi/vmgenid.c, hw/i386/fw_cfg.c and hw/i386/acpi-build.c.
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
	{"panic notifier", pci("1B36:0011", "088000")},
	{"TPM", "acpi:MSFT0101:"},
})

// usb are the devices that hypervisors put behind a USB host of theirs. Those of
// QEMU are in its hw/usb/dev-hub.c, dev-hid.c and dev-storage.c. The pointer is
// VMware's Virtual Mouse of usb.ids, whose class was not checked.
var usb = []MachineDevice{
	{"USB hub", "usb:v0409p55AAd0101dc09dsc00dp00ic09isc00ip00in00"},
	{"USB keyboard", "usb:v0627p0001d0000dc00dsc00dp00ic03isc01ip01in00"},
	{"USB mouse", "usb:v0E0Fp0003d0102dc00dsc00dp00ic03isc00ip02in00"},
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
