// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// shownLines is how much of the kernel's log an explanation shows.
const shownLines = 5

// kernelLog returns the last lines of the kernel's log that name a slot.
func kernelLog(root, slot string) (lines []string) {
	log, _ := readKernelLog(root)
	for line := range strings.Lines(log) {
		if text, ok := messageOf(line); ok && strings.Contains(text, slot) {
			lines = append(lines, text)
		}
	}
	return lines[max(0, len(lines)-shownLines):]
}

// messageOf returns what the kernel says in a line of its log. The lines that
// name the device of a message follow it, behind a space.
func messageOf(line string) (string, bool) {
	_, text, ok := strings.Cut(line, ";")
	return strings.TrimSpace(text), ok && !strings.HasPrefix(line, " ")
}

// readKernelLog reads the kernel's log with the rights of whoever asks, the
// service having none: who may not read it sees none of it. The form is that of
// dev-kmsg (Linux: Documentation/ABI/testing/dev-kmsg).
func readKernelLog(root string) (string, error) {
	fd, err := unix.Open(filepath.Join(root, "dev/kmsg"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("cannot read the kernel's log: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var all strings.Builder
	for record := make([]byte, 8<<10); ; { // as large as one can be
		n, err := unix.Read(fd, record)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) {
			continue // the oldest are being overwritten
		}
		if err != nil || n == 0 {
			return all.String(), nil
		}
		all.Write(record[:n])
	}
}
