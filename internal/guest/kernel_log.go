// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"path/filepath"

	"driverd/hwdetect/kmsg"
)

// shownLines is how much of the kernel's log an explanation shows.
const shownLines = 5

// KernelLogAbout returns the last lines of the kernel's log that name a slot. Who may
// not read it sees none of it.
func KernelLogAbout(root, slot string) (lines []string) {
	entries, _ := KernelLog(root)
	for _, e := range entries {
		if e.Mentions(slot) {
			lines = append(lines, e.Text)
		}
	}
	return lines[max(0, len(lines)-shownLines):]
}

// KernelLog reads the log of the kernel whose files are under root.
func KernelLog(root string) ([]kmsg.Entry, error) {
	log, err := kmsg.Open(filepath.Join(root, "dev/kmsg"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	return log.Read(), nil
}
