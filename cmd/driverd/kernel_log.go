// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"

	"driverd/hwdetect/kmsg"
)

// shownLines is how much of the kernel's log an explanation shows.
const shownLines = 5

// kernelLog returns the last lines of the kernel's log that name a slot. Who may
// not read it sees none of it.
func kernelLog(root, slot string) (lines []string) {
	entries, _ := readKernelLog(root)
	for _, e := range entries {
		if e.Mentions(slot) {
			lines = append(lines, e.Text)
		}
	}
	return lines[max(0, len(lines)-shownLines):]
}

func readKernelLog(root string) ([]kmsg.Entry, error) {
	log, err := kmsg.Open(filepath.Join(root, "dev/kmsg"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	return log.Read(), nil
}
