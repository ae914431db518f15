// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Log is the kernel's log. To open it takes CAP_SYSLOG in
// most guests (kernel.dmesg_restrict), which the step does not have: systemd
// opens it as the step's standard input. A nil Log is one in which nothing is.
type Log struct{ fd int }

// OpenLog takes the log that is open as fd, from its beginning on. It returns nil
// if fd is no log: somebody has called the step by hand.
func OpenLog(fd int) *Log {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil
	}
	return &Log{fd}
}

// Entry is one entry of the kernel's log.
type Entry struct {
	Time   time.Duration // after the start of the guest
	Text   string
	Device string // that the entry is about: "+pci:0000:01:00.0"; empty if it does not say
}

// Read returns what was said since the last time.
func (l *Log) Read() []Entry {
	var entries []Entry
	buffer := make([]byte, 16<<10) // more than the kernel puts into one entry
	for l != nil {
		n, err := unix.Read(l.fd, buffer)
		switch {
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR):
			continue // entries were lost before we came to them; or a signal
		case err != nil || n == 0:
			return entries // EAGAIN: nothing more yet
		}
		if e, ok := parseEntry(string(buffer[:n])); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// parseEntry reads an entry in the form of Linux' Documentation/ABI/testing/dev-kmsg:
// "6,339,5140900,-;text", and below it lines " KEY=value". What programs have
// written there (facility other than 0) is not the kernel's word.
func parseEntry(record string) (Entry, bool) {
	head, body, _ := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if len(fields) < 4 || len(fields[0]) != 1 || fields[0] > "7" {
		return Entry{}, false
	}
	micros, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return Entry{}, false
	}
	text, dictionary, _ := strings.Cut(body, "\n")
	e := Entry{Time: time.Duration(micros) * time.Microsecond, Text: text}
	for line := range strings.Lines(dictionary) {
		if device, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVICE="); ok {
			e.Device = device
		}
	}
	return e, true
}

// mentions says whether the entry is about name: a slot or a module, as a word
// of its own.
func (e Entry) mentions(name string) bool {
	if e.Device == "+pci:"+name {
		return true
	}
	isPart := func(b byte) bool {
		return b == '_' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
	}
	for at := 0; ; {
		i := strings.Index(e.Text[at:], name)
		if i < 0 || name == "" {
			return false
		}
		begin, end := at+i, at+i+len(name)
		if (begin == 0 || !isPart(e.Text[begin-1])) && (end == len(e.Text) || !isPart(e.Text[end])) {
			return true
		}
		at = end
	}
}
