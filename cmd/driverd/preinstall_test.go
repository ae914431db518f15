// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/internal/testtree"
)

// preinstallOf runs driverd preinstall with what one file says, and returns its
// exit status and what it said.
func preinstallOf(t *testing.T, s testService, done, text string) (code int, said string) {
	t.Helper()
	root := t.TempDir()
	testtree.Write(t, filepath.Join(root, "etc/driverd/preinstall.d/50.toml"), text)
	var out bytes.Buffer
	p := preinstall{name: "preinstall", console: console{stdout: &out, stderr: &out, root: root, bus: s.bus.Address}, done: done}
	if err := p.run(t.Context()); err != nil {
		var status status
		if !errors.As(err, &status) {
			t.Fatal(err)
		}
		code = status.code
	}
	return code, strings.ReplaceAll(out.String(), root, "")
}

func TestPreinstall(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.polkit(t, "yes")
	for _, test := range []struct {
		text, want string
		code       int
	}{
		{"", "nothing is asked for\n", 0},
		{"install = ['nic']", "/etc/driverd/preinstall.d/50.toml:1: cannot understand \"nic\"", exitUsage},
		{"isntall = ['sriov']", "/etc/driverd/preinstall.d/50.toml:1:1: unknown key \"isntall\"\n", exitUsage},
		{"install = ['sriov', '8086:10c9']", "failed (repo-unreachable): ", exitBlocked},
		{"install = ['firmware(/etc/passwd)']", "50.toml:1: cannot understand \"firmware(/etc/passwd)\"", exitUsage},
		{"install = ['firmware(qed/init.bin)']", "failed (firmware-missing): ", exitFailed},
		{"install = ['ffff:0001']", "ffff:0001: ", exitUnknown},
		{"install = ['0000:02:00.0']", "done: 0000:02:00.0 is bound to virtio-pci already\n", 0},
		// What cannot be had does not keep the others away.
		{"install = ['ffff:0001', '0000:02:00.0']", "done: 0000:02:00.0 is bound to virtio-pci already\n", exitUnknown},
		{"install = ['ffff:0001', 'sriov']", "failed (repo-unreachable): ", exitBlocked},
		{"present = true", "asks for what the devices need that are here\n", exitBlocked},
	} {
		done := filepath.Join(t.TempDir(), "driverd-preinstall", "done")
		code, said := preinstallOf(t, s, done, test.text)
		if code != test.code || !strings.Contains(said, test.want) {
			t.Errorf("%s: exit status %d, it says\n%swant %d, %s", test.text, code, said, test.code, test.want)
		}
		for line := range strings.Lines(said) {
			if !strings.HasPrefix(line, "driverd preinstall: ") {
				t.Errorf("%s: whose line is this? %q", test.text, line)
			}
		}
		if _, err := os.Stat(done); (err == nil) != (code == 0 && test.text != "") {
			t.Errorf("%s: exit status %d, and what was kept: %v", test.text, code, err)
		}
	}
}

// While the guest boots, polkit may not answer yet: the unit is to try again.
func TestPreinstallBeforePolkitAnswers(t *testing.T) {
	t.Parallel()
	code, said := preinstallOf(t, serve(t), filepath.Join(t.TempDir(), "done"), "install = ['sriov']")
	if code != exitBlocked || !strings.Contains(said, "cannot ask polkit about org.fedoraproject.driverd1.install: ") {
		t.Errorf("exit status %d, it says %s", code, said)
	}
}

func TestPreinstallOnce(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.polkit(t, "yes")
	done := filepath.Join(t.TempDir(), "done")
	const text, already = "install = ['0000:02:00.0']", "what is asked for was done already\n"
	for i, want := range []string{"done: ", already} {
		if code, said := preinstallOf(t, s, done, text); code != 0 || !strings.Contains(said, want) {
			t.Errorf("run %d: exit status %d, it says %s", i, code, said)
		}
	}
	// Something else is another wish.
	if _, said := preinstallOf(t, s, done, text+" # and why"); strings.Contains(said, already) {
		t.Errorf("it says %s", said)
	}
	// Without the service only what was done already is good.
	s.stop()
	if code, said := preinstallOf(t, s, done, text+"\npresent = true"); code != exitNoService {
		t.Errorf("exit status %d without the service: %s", code, said)
	}
}

// The same for programs.
func TestPreinstallJSON(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.polkit(t, "yes")
	root := t.TempDir()
	testtree.Write(t, filepath.Join(root, "etc/driverd/preinstall.d/50.toml"), "install = ['ffff:0001', 'sriov']")
	var out, complaints bytes.Buffer
	code := run(t.Context(), []string{"preinstall", "--json", "--log", filepath.Join(root, "log")},
		console{stdout: &out, stderr: &complaints, root: root, bus: s.bus.Address, gate: open})
	var report preinstallReport
	err := json.Unmarshal(out.Bytes(), &report)
	if code != exitBlocked || complaints.Len() > 0 || err != nil || report.Done || len(report.Results) != 2 ||
		report.Results[0].Selectors[0] != "ffff:0001" || report.Results[0].State != "failed" || report.Results[0].Job != "" ||
		report.Results[1].Reason != "repo-unreachable" || report.Results[1].Job == "" || len(report.Messages) != 3 {
		t.Errorf("%d %s %v\n%s", code, &complaints, err, &out)
	}
	if log, err := os.ReadFile(filepath.Join(root, "log")); err != nil || strings.Count(string(log), "driverd preinstall: ") != 3 {
		t.Errorf("the log: %v\n%s", err, log)
	}
}
