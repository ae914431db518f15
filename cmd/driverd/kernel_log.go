// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// shownLines is how much of the kernel's log an explanation shows.
const shownLines = 5

// kernelLog returns the last lines of the kernel's log that name a slot. They are
// read with the rights of whoever asks, the service having none: who may not read
// the log sees none of it. The form is that of dev-kmsg (Linux: ABI/testing).
func kernelLog(root, slot string) (lines []string) {
	fd, err := unix.Open(filepath.Join(root, "dev/kmsg"), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	for record := make([]byte, 8<<10); ; { // as large as one can be
		n, err := unix.Read(fd, record)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) {
			continue // the oldest are being overwritten
		}
		if err != nil || n == 0 {
			return lines[max(0, len(lines)-shownLines):]
		}
		for line := range strings.Lines(string(record[:n])) {
			_, text, ok := strings.Cut(line, ";")
			if ok && !strings.HasPrefix(line, " ") && strings.Contains(text, slot) {
				lines = append(lines, strings.TrimSpace(text))
			}
		}
	}
}
