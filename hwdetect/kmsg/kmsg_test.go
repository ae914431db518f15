// SPDX-License-Identifier: Apache-2.0

package kmsg_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect/kmsg"
)

// withoutRecords leaves out what TestRecords is about.
func withoutRecords(entries []kmsg.Entry) []kmsg.Entry {
	for i := range entries {
		entries[i].Record = ""
	}
	return entries
}

// The log is read an entry at a time, as the kernel
// gives them; what programs have written into it is none of the kernel's words.
func TestLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(path, []byte("6,1,1,-;igb: before the step\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	log := kmsg.Inherit(int(file.Fd()))
	if diff := cmp.Diff([]kmsg.Entry{{Time: time.Microsecond, Text: "igb: before the step"}}, withoutRecords(log.Read())); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		record string
		want   []kmsg.Entry
	}{
		{"4,340,5690716,-;igb 0000:01:00.0: probe with driver igb failed with error -12\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n",
			[]kmsg.Entry{{Time: 5690716 * time.Microsecond, Text: "igb 0000:01:00.0: probe with driver igb failed with error -12", Device: "+pci:0000:01:00.0"}}},
		{"6,339,5140900,-,caller=T42;Module igb is blacklisted\n", []kmsg.Entry{{Time: 5140900 * time.Microsecond, Text: "Module igb is blacklisted"}}},
		{"12,341,1,-;igb 0000:01:00.0: probe with driver igb failed with error -12\n", nil}, // LOG_USER
		{"30,341,1,-;systemd[1]: igb\n", nil},
		{";x\n", nil},
		{"x,1,1,-;igb", nil},
		{"6,1,x,-;igb", nil},
		{"6", nil},
	} {
		write, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := write.WriteString(c.record); err != nil {
			t.Fatal(err)
		}
		_ = write.Close()
		if diff := cmp.Diff(c.want, withoutRecords(log.Read())); diff != "" {
			t.Errorf("%q: %s", c.record, diff)
		}
	}
}

// Called by hand, the step has a terminal or a pipe where the log would be.
func TestNoLog(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = in.Close(), out.Close() }()
	log := kmsg.Inherit(int(in.Fd()))
	if log != nil || log.Read() != nil {
		t.Errorf("a pipe is a log: %v", log)
	}
}

// A record of the log has several entries in one file.
func TestRecords(t *testing.T) {
	t.Parallel()
	const (
		first  = "6,1,5140900,-;igb 0000:01:00.0: a card\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n"
		second = "6,2,5140901,-;igb 0000:02:00.0: another; and on"
	)
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(path, []byte(" cut off\n"+first+"garbage\n"+second), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := kmsg.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	want := []kmsg.Entry{
		{Time: 5140900 * time.Microsecond, Text: "igb 0000:01:00.0: a card", Device: "+pci:0000:01:00.0", Record: first},
		{Time: 5140901 * time.Microsecond, Text: "igb 0000:02:00.0: another; and on", Record: second},
	}
	if diff := cmp.Diff(want, log.Read()); diff != "" {
		t.Error(diff)
	}
	if _, err := kmsg.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
}
