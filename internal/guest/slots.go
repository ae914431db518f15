// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"driverd/hwdetect"
	"driverd/hwdetect/sysfs"
)

// Devices returns the PCI devices of the guest under root.
func Devices(root string) ([]hwdetect.Device, error) { return sysfs.New(root).Devices() }

// Slots returns the slots of the PCI devices of the guest under root.
func Slots(root string) ([]string, error) {
	devices, err := Devices(root)
	if err != nil {
		return nil, err
	}
	var slots []string
	for _, d := range devices {
		slots = append(slots, d.Slot.String())
	}
	return slots, nil
}
