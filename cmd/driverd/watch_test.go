// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/api"
)

// watch runs driverd watch until the test ends, and returns its lines.
func watch(t *testing.T, address string, args ...string) *bufio.Scanner {
	t.Helper()
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"watch"}, args...), console{stdout: in, stderr: io.Discard, bus: address, gate: open})
		_ = in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		_, _ = io.Copy(io.Discard, out)
		if code := <-ended; code != 0 {
			t.Errorf("an interrupted watch exits with %d", code)
		}
	})
	return bufio.NewScanner(out)
}

// until reads lines up to one that holds text.
func until(t *testing.T, lines *bufio.Scanner, text string) string {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return lines.Text()
		}
	}
	t.Fatalf("no line with %q", text)
	return ""
}

func TestWatch(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	lines := watch(t, s.bus.Address)
	until(t, lines, "0000:01:00.0  unavailable (repo-unreachable)")
	until(t, lines, "          cannot download from updates: connection refused")
	until(t, lines, "0000:04:00.0  unsupported")

	plug(t, s.root, "0000:05:00.0", igbModalias, "0x020000", "igb")
	s.engine.Kick()
	until(t, lines, "0000:05:00.0  bound to igb")
	if err := os.RemoveAll(filepath.Join(s.root, "sys/bus/pci/devices/0000:05:00.0")); err != nil {
		t.Fatal(err)
	}
	s.engine.Kick()
	until(t, lines, "0000:05:00.0  is gone")
	s.stop()
	until(t, lines, "driverd has stopped")
}

func TestWatchJSON(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	lines := watch(t, s.bus.Address, "--json")
	until(t, lines, `"event":"present","device":{"slot":"0000:04:00.0"`)
	plug(t, s.root, "0000:05:00.0", igbModalias, "0x020000", "igb")
	s.engine.Kick()
	var line struct {
		Time   uint64
		Event  string
		Device api.Device
	}
	if err := json.Unmarshal([]byte(until(t, lines, "0000:05:00.0")), &line); err != nil {
		t.Fatal(err)
	}
	if line.Event != "added" || line.Device.Driver != "igb" || line.Time == 0 {
		t.Errorf("%+v", line)
	}
}
