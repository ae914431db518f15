// SPDX-License-Identifier: Apache-2.0

package hwdetect

// Child is a device below a PCI function on another bus: auxiliary, usb, hdaudio,
// mdio, virtio, scsi.
type Child struct {
	Path     string // below the folder of the slot in sysfs: "usb3/3-1/3-1:1.0"
	Modalias string // what the kernel matches drivers against, with the name of the bus: "usb:v46F4p0001..."
	Driver   string // empty without one
}

// Parts is what a PCI function that has its driver consists of.
type Parts struct {
	// Functions are what it gives the guest, by class and name: "net/enp1s0",
	// "infiniband/mlx5_0", "drm/card1", "nvme/nvme0", "block/sda". An interface that
	// another one of the hypervisor's uses stands behind it: "net/eth0/enP1s1". They are
	// sorted.
	Functions []string

	Children []Child // in the order of their paths

	// Binding tells one binding of the driver to the device from another one of the
	// same driver. It is zero if there is no driver.
	Binding uint64

	// Problem is what was not read, nil if all was. What was read counts.
	Problem error
}

// ChildModules are the modules that claim a child.
type ChildModules struct {
	Installed []string // that depmod has indexed, and whose files are there
	Fresh     []string // of Shipped, whose files are there, and which depmod has not indexed
	Shipped   []Module // of the kernel's build, as the index says that came with it; not asked for what is installed
}
