// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon/load"
)

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
	log := load.OpenLog(int(file.Fd()))
	if diff := cmp.Diff([]load.Entry{{Time: time.Microsecond, Text: "igb: before the step"}}, log.Read()); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		record string
		want   []load.Entry
	}{
		{"4,340,5690716,-;igb 0000:01:00.0: probe with driver igb failed with error -12\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n",
			[]load.Entry{{Time: 5690716 * time.Microsecond, Text: "igb 0000:01:00.0: probe with driver igb failed with error -12", Device: "+pci:0000:01:00.0"}}},
		{"6,339,5140900,-,caller=T42;Module igb is blacklisted\n", []load.Entry{{Time: 5140900 * time.Microsecond, Text: "Module igb is blacklisted"}}},
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
		if diff := cmp.Diff(c.want, log.Read()); diff != "" {
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
	log := load.OpenLog(int(in.Fd()))
	if log != nil || log.Read() != nil {
		t.Errorf("a pipe is a log: %v", log)
	}
}
