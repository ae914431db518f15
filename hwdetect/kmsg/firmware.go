// SPDX-License-Identifier: Apache-2.0

package kmsg

import (
	"regexp"
	"slices"
)

// What the kernel says (Linux: fw_get_filesystem_firmware in
// drivers/base/firmware_loader/main.c, pci_setup_device in drivers/pci/probe.c).
var (
	firmwareMissing = regexp.MustCompile(`irect firmware load for (\S+) failed with error -2\b`)
	found           = regexp.MustCompile(`^pci \S+: \[[[:xdigit:]]{4}:[[:xdigit:]]{4}\] type`)
)

// Begins says whether the entry is the first one about a stay of a PCI device.
func (e Entry) Begins() bool { return found.MatchString(e.Text) }

// MissingFirmware lists the files that the drivers of the PCI device in a slot asked
// for in vain since it came, in their order.
func MissingFirmware(log []Entry, slot string) []string {
	var files []string
	for _, e := range log {
		switch m := firmwareMissing.FindStringSubmatch(e.Text); {
		case !e.Mentions(slot):
		case e.Begins():
			files = nil
		case m != nil && !slices.Contains(files, m[1]):
			files = append(files, m[1])
		}
	}
	return files
}
