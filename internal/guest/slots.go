// SPDX-License-Identifier: Apache-2.0

package guest

import "driverd/hwdetect/sysfs"

// Slots returns the slots of the PCI devices of the guest under root.
func Slots(root string) ([]string, error) {
	devices, err := sysfs.New(root).Devices()
	if err != nil {
		return nil, err
	}
	var slots []string
	for _, d := range devices {
		slots = append(slots, d.Slot.String())
	}
	return slots, nil
}
