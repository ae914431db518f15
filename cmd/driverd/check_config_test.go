// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"driverd/internal/testtree"
)

func TestCheckConfig(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file := filepath.Join(root, "etc/driverd/driverd.toml")
	dropIn := filepath.Join(root, "etc/driverd/driverd.toml.d/10-mine.toml")
	check := func(wantCode int, wantOut, wantComplaints string) {
		t.Helper()
		code, out, complaints := driverd(t, nowhere(t), "check-config", "--root", root)
		if code != wantCode || out != wantOut || complaints != wantComplaints {
			t.Errorf("%d %q %q, want %d %q %q", code, out, complaints, wantCode, wantOut, wantComplaints)
		}
	}
	check(0, "The configuration is good; there are no files.\n", "")
	testtree.Write(t, file, "mode = 'observe'\n")
	testtree.Write(t, dropIn, "[[rule]]\naction = 'deny'\nslot = ['0000:01:00.0']\n")
	check(0, "The configuration is good; it is read from:\n  "+file+"\n  "+dropIn+"\n", "")
	testtree.Write(t, file, "mode = 'observe'\n\x1b[2J\n")
	testtree.Write(t, dropIn, "[[rule]]\naction = 'deny'\nslot = ['1:0']\nkind = ['03']\n")
	check(exitFailed, "", file+":2:1: invalid character at start of key: U+001B\n"+dropIn+":4:1: unknown key \"rule.kind\"\n")
}

// The explanation says which rule decides, with and without the service.
func TestExplainTheRule(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	file := filepath.Join(s.root, "etc/driverd/driverd.toml")
	testtree.Write(t, file, "[[rule]]\naction = 'deny'\ngroup = ['sriov']\n\n[[rule]]\naction = 'allow'\nid = ['1af4:*']\n")
	if err := s.engine.Rescan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"--root", s.root}} {
		code, out, _ := driverd(t, s.bus.Address, append([]string{"explain", "--json", "0000:01:00.0"}, args...)...)
		if code != exitBlocked || !strings.Contains(out, `"rule": {
    "action": "deny",
    "file": "`+file+`",
    "line": 1
  }`) {
			t.Errorf("%v: %d %s", args, code, out)
		}
		code, out, _ = driverd(t, s.bus.Address, append([]string{"explain", "0000:01:00.0"}, args...)...)
		if code != exitBlocked || !strings.Contains(out, "rule        deny, by") || !strings.Contains(out, file+":1\n") ||
			!strings.Contains(out, "state       blocked (policy)\n") || !strings.Contains(out, "a later rule can allow it") {
			t.Errorf("%v: %d %s", args, code, out)
		}
		// It needs nothing that could be allowed.
		code, out, _ = driverd(t, s.bus.Address, append([]string{"explain", "0000:02:00.0"}, args...)...)
		if code != 0 || !strings.Contains(out, "rule        allow, by") || !strings.Contains(out, "bound to virtio-pci") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}

func TestObserveMode(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.await(t, settledAll)
	testtree.Write(t, filepath.Join(s.root, "etc/driverd/driverd.toml"), "mode = 'observe'")
	if err := s.engine.Rescan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"--root", s.root}} {
		code, out, _ := driverd(t, s.bus.Address, append([]string{"explain", "0000:01:00.0"}, args...)...)
		if code != exitBlocked || !strings.Contains(out, "blocked (observe-only)\n") || !strings.Contains(out, "driverd install 0000:01:00.0") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
	// A mode that was set wins over the one that is configured.
	testtree.Write(t, filepath.Join(s.root, "var/lib/driverd/mode"), "auto\n")
	code, out, complaints := driverd(t, s.bus.Address, "explain", "0000:01:00.0", "--root", s.root)
	if code != 0 || !strings.Contains(out, "install the package") {
		t.Errorf("%d %s %s", code, out, complaints)
	}
	testtree.Write(t, filepath.Join(s.root, "etc/driverd/driverd.toml"), "mdoe = 'auto'")
	code, out, complaints = driverd(t, s.bus.Address, "explain", "0000:01:00.0", "--root", s.root)
	if code != exitBlocked || !strings.Contains(out, "the configuration has an error") {
		t.Errorf("%d %s %s", code, out, complaints)
	}
	_, out, _ = driverd(t, s.bus.Address)
	if !strings.Contains(out, ", mode observe\n") {
		t.Error(out)
	}
}

func TestCheckConfigJSON(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file := filepath.Join(root, "etc/driverd/driverd.toml")
	testtree.Write(t, file, "mdoe = 'observe'\n")
	for _, want := range []struct {
		code int
		out  string
	}{
		{exitFailed, "{\n  \"files\": [],\n  \"problems\": [\n    \"" + file + ":1:1: unknown key \\\"mdoe\\\"\"\n  ]\n}\n"},
		{0, "{\n  \"files\": [\n    \"" + file + "\"\n  ],\n  \"problems\": []\n}\n"},
	} {
		code, out, complaints := driverd(t, nowhere(t), "check-config", "--json", "--root", root)
		if code != want.code || out != want.out || complaints != "" {
			t.Errorf("%d %q %q, want %+v", code, out, complaints, want)
		}
		testtree.Write(t, file, "mode = 'observe'\n")
	}
}
