// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"driverd/internal/testbus"
)

// bad are words that nobody means to type.
var bad = map[string]string{
	"empty":                "",
	"a blank":              " ",
	"wrong":                "no:such.thing",
	"not UTF-8":            "\xff\xfe",
	"a terminal's orders":  "\x1b[2J\x07",
	"lines":                "0000:01:00.0\n0000:02:00.0",
	"huge":                 strings.Repeat("x", 10_000),
	"a huge slot":          strings.Repeat("0", 10_000) + ":01:00.0",
	"a huge number":        strings.Repeat("9", 10_000),
	"a huge module":        "kmod(" + strings.Repeat("x", 10_000) + ".ko)",
	"a module, no UTF-8":   "kmod(\xff.ko)",
	"a file, no UTF-8":     "firmware(\xff)",
	"a modalias, no UTF-8": "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00\xff",
	"a way out":            "../../etc/passwd",
	"a flag":               "--no\xffnsense" + strings.Repeat("x", 10_000),
}

// Whatever is typed in the place of a word, there is a short answer, it is wrong usage, and
// nobody is asked for it: there is no bus.
func TestBadInputIsWrongUsage(t *testing.T) {
	t.Parallel()
	takes := [][]string{
		{}, {"status"}, {"explain"}, {"plan"}, {"install"}, {"rescan"}, {"mode"}, {"history"}, {"watch"}, {"wait"}, {"cancel"}, {"metrics"}, {"load"}, {"daemon"},
		{"preinstall"}, {"image"}, {"image", "install"}, {"image", "download"}, {"record", "a"}, {"status", "--json", "--check"},
		{"history", "-n"}, {"history", "--since"}, {"wait", "--timeout"}, {"status", "--color"}, {"mode", "--unset"},
	}
	for what, word := range bad {
		for _, command := range takes {
			args := append(command[:len(command):len(command)], word)
			code, out, complaints := driverd(t, nowhere(t), args...)
			if code != exitUsage || out != "" || complaints == "" || len(complaints) > 1000 || !utf8.ValidString(complaints) {
				t.Errorf("driverd %v and %s: %d %.200q %.1200q", command, what, code, out, complaints)
			}
		}
	}
}

// What is said when there is no bus, and when there is a bus and no service.
func TestNoServiceIsSaid(t *testing.T) {
	t.Parallel()
	empty := testbus.Start(t).Address
	for _, args := range [][]string{
		{}, {"status"}, {"plan"}, {"plan", "sriov"}, {"install", "--yes"}, {"install", "01:00.0"}, {"rescan"}, {"mode"}, {"mode", "auto"}, {"mode", "--unset"},
		{"history"}, {"history", "01:00.0"}, {"watch"}, {"wait"}, {"wait", "01:00.0"}, {"cancel"}, {"cancel", "01:00.0"}, {"metrics"}, {"status", "--json"}, {"install", "--json", "sriov"},
	} {
		for address, want := range map[string]string{nowhere(t): "driverd: cannot reach the system bus: ", empty: "driverd is not running"} {
			code, out, complaints := driverd(t, address, args...)
			if code != exitNoService || !strings.Contains(complaints, want) || !strings.Contains(complaints, "systemctl start driverd") ||
				out != "" && args[0] != "metrics" {
				t.Errorf("driverd %v: %d %q %q, want %s", args, code, out, complaints, want)
			}
		}
	}
}

// reading are commands that print.
var reading = [][]string{
	{"status"}, {"status", "--json"}, {"explain", "02:00.0"}, {"plan"}, {"plan", "--json"}, {"mode"}, {"history"}, {"history", "--json"}, {"metrics"}, {"watch"}, {"--help"},
}

// Who reads no further than the first line wants to hear nothing of it.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	for _, args := range reading {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_ = out.Close()
		complaints, err := s.process(t, in, args)
		_ = in.Close()
		if err == nil || complaints != "" {
			t.Errorf("driverd %v: %v, it says %q", args, err, complaints)
		}
	}
}

// What cannot be written is said, but for help.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	for _, args := range reading[:len(reading)-1] {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		complaints, err := s.process(t, full, args)
		_ = full.Close()
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) || exit.ExitCode() != exitFailed || !strings.HasPrefix(complaints, "driverd: cannot write: ") || strings.Count(complaints, "\n") != 1 {
			t.Errorf("driverd %v: %v, it says %q", args, err, complaints)
		}
	}
}

// process runs driverd as a process of its own, and returns what it complains of.
func (s testService) process(t *testing.T, stdout io.Writer, args []string) (complaints string, err error) {
	t.Helper()
	this, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	command := exec.CommandContext(t.Context(), this, args...)
	command.Args[0] = "driverd"
	command.Env = []string{"DBUS_SYSTEM_BUS_ADDRESS=" + s.bus.Address, "ROOT=" + s.root}
	command.Stdout, command.Stderr = stdout, &said
	err = command.Run()
	return said.String(), err
}

// A folder for a record may have any name.
func TestRecordInOddFolders(t *testing.T) {
	t.Parallel()
	root := guestTree(t, filepath.Join(t.TempDir(), "root"))
	for _, name := range []string{"\xff\xfe", "\x1b[2J", "a\nb", "-a"} {
		var out, complaints strings.Builder
		code := run(t.Context(), []string{"record", filepath.Join(t.TempDir(), name)}, console{stdout: &out, stderr: &complaints, root: root, bus: nowhere(t), gate: open})
		if code != 0 || !utf8.ValidString(out.String()) || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%q: %d %q %q", name, code, &out, &complaints)
		}
	}
}
