// SPDX-License-Identifier: Apache-2.0

// Package kmsg reads the kernel's log, in the form of Linux'
// Documentation/ABI/testing/dev-kmsg: the log itself, or a record of some of it.
package kmsg

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Log is an open log. A nil Log is one in which nothing is.
type Log struct{ fd int }

// Open opens the log at path with the rights of whoever asks: in most guests it
// takes CAP_SYSLOG (kernel.dmesg_restrict).
func Open(path string) (*Log, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read the kernel's log: %w", err)
	}
	return &Log{fd}, nil
}

// Inherit takes the log that is open as fd, from its beginning on. It returns nil
// if fd is no log.
func Inherit(fd int) *Log {
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil
	}
	return &Log{fd}
}

// Close closes the log.
func (l *Log) Close() error { return unix.Close(l.fd) }

// Entry is one entry of the log.
type Entry struct {
	Time   time.Duration // after the start of the guest
	Text   string
	Device string // that the entry is about: "+pci:0000:01:00.0"; empty if it does not say
	Record string // the whole entry as it was read
}

// Read returns what the kernel has said since the last time.
func (l *Log) Read() []Entry {
	var all strings.Builder
	buffer := make([]byte, 16<<10) // more than the kernel puts into one entry
	for l != nil {
		n, err := unix.Read(l.fd, buffer)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) {
			continue // entries were lost before we came to them; or a signal
		}
		if err != nil || n == 0 {
			break // EAGAIN: nothing more yet
		}
		all.Write(buffer[:n])
	}
	return Parse(all.String())
}

// Parse reads the entries of a record of the log.
func Parse(log string) []Entry {
	var entries []Entry
	for rest := log; rest != ""; {
		var record string
		record, rest = cut(rest)
		if e, ok := parse(record); ok {
			entries = append(entries, e)
		}
	}
	return entries
}

// cut cuts the first entry off: the lines that belong to one begin with a space.
func cut(log string) (record, rest string) {
	for end := 0; ; {
		line := strings.IndexByte(log[end:], '\n')
		if line < 0 {
			return log, ""
		}
		if end += line + 1; !strings.HasPrefix(log[end:], " ") {
			return log[:end], log[end:]
		}
	}
}

// parse reads an entry: "6,339,5140900,-;text", and below it lines " KEY=value".
// What programs have written there (facility other than 0) is not the kernel's
// word.
func parse(record string) (Entry, bool) {
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
	e := Entry{Time: time.Duration(micros) * time.Microsecond, Text: text, Record: record}
	for line := range strings.Lines(dictionary) {
		if device, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVICE="); ok {
			e.Device = device
		}
	}
	return e, true
}

// Mentions says whether the entry is about name: a slot or a module, as a word
// of its own.
func (e Entry) Mentions(name string) bool {
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
