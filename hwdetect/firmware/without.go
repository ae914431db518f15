// SPDX-License-Identifier: Apache-2.0

package firmware

import (
	"fmt"
	"strings"

	"driverd/hwdetect"
)

// Without says in words that a driver has taken its device without files of firmware
// that it asked for.
func Without(driver string, files []string) string {
	return fmt.Sprintf("%s works without the firmware /lib/firmware/%s, which it asked for in vain: it may do less than it could",
		driver, strings.Join(files, " and /lib/firmware/"))
}

// Reload names the command that has the driver of the device in a slot ask for its
// firmware anew.
func Reload(slot hwdetect.Slot, driver string) string {
	return fmt.Sprintf("to have it ask again, which interrupts the device: echo %s | tee /sys/bus/pci/drivers/%s/unbind /sys/bus/pci/drivers/%s/bind",
		slot, driver, driver)
}
