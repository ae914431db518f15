// SPDX-License-Identifier: Apache-2.0

package load

import (
	"os"
	"path/filepath"
	"strings"

	"driverd/hwdetect"
)

// Offer has the kernel offer a device that has no driver to the drivers that are
// loaded. By itself it does so when the device or a driver comes, not when what
// the driver lacked does: its firmware. It says false if it may not: 0 in
// drivers_autoprobe keeps the kernel from it. Whether a driver has taken the
// device is for others to see.
func Offer(root string, slot hwdetect.Slot) bool {
	bus := filepath.Join(root, "sys/bus/pci")
	auto, err := os.ReadFile(filepath.Join(bus, "drivers_autoprobe"))
	if err != nil || strings.TrimSpace(string(auto)) == "0" {
		return false
	}
	file, err := os.OpenFile(filepath.Join(bus, "drivers_probe"), os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	// The error of either is that of the driver.
	_, _ = file.WriteString(slot.String())
	_ = file.Close()
	return true
}
