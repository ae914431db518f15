// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"driverd/api"
	"driverd/internal/testtree"
	"driverd/reason"
)

// Where nothing can be done, the status says why, whether a service answers or
// not.
func TestStatusWithoutServiceBehindAGate(t *testing.T) {
	t.Parallel()
	closed := reason.With(reason.Container, errors.New("this is a container (there is /.dockerenv)"))
	run := func(args ...string) (int, string, string) {
		var out, complaints bytes.Buffer
		code := run(t.Context(), args, console{stdout: &out, stderr: &complaints, bus: nowhere(t), gate: func() error { return closed }})
		return code, out.String(), complaints.String()
	}
	code, out, complaints := run("status")
	if code != exitBlocked || complaints != "" || !strings.HasPrefix(out, "driverd devel is inactive (container)\n") ||
		!strings.HasSuffix(out, "\nthis is a container (there is /.dockerenv)\n") {
		t.Errorf("%d %q\n%s", code, complaints, out)
	}
	code, out, complaints = run("--json")
	var report struct {
		Status, Reason, Message string
		Devices                 []any
	}
	err := json.Unmarshal([]byte(out), &report)
	if code != exitBlocked || complaints != "" || err != nil || report.Status != "inactive" || report.Reason != "container" ||
		report.Message != closed.Error() || report.Devices == nil {
		t.Errorf("%d %q %v\n%s", code, complaints, err, out)
	}
	if code, out, complaints = run("status", "--check"); code != exitBlocked || out+complaints != "" {
		t.Errorf("status --check: %d %q %q", code, out, complaints)
	}
	if code, out, complaints = run("wait"); code != exitBlocked || out != "" || complaints != "driverd: "+closed.Error()+"\n" {
		t.Errorf("wait: %d %q %q", code, out, complaints)
	}
}

// What a product needs anybody may ask, also where nothing can be done for it.
func TestExplainBehindAGate(t *testing.T) {
	t.Parallel()
	root := guestTree(t, t.TempDir())
	s := serveTree(t, root, reason.With(reason.ImageMode, errors.New("this guest's system is an image")))
	var said, complained bytes.Buffer
	code := run(t.Context(), []string{"explain", "8086:10c9"}, console{stdout: &said, stderr: &complained, root: root, bus: s.bus.Address, gate: open})
	out, complaints := said.String(), complained.String()
	if code != exitBlocked || !strings.Contains(out, sriov) || !strings.Contains(complaints, "this guest's system is an image: this is what the service would decide") {
		t.Errorf("%d %q\n%s", code, complaints, out)
	}
}

// A sandbox can hide what a gate looks for: whoever is at rest has been through the gates.
func TestMetricsAtRestAskNoGate(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	testtree.Write(t, filepath.Join(root, api.RestFile), "{}")
	var out, complaints bytes.Buffer
	closed := func() error { return reason.With(reason.ForeignKernel, errors.New("there are no modules")) }
	code := run(t.Context(), []string{"metrics"}, console{stdout: &out, stderr: &complaints, root: root, bus: nowhere(t), gate: closed})
	if code != 0 || complaints.Len() > 0 || !strings.Contains(out.String(), "\ndriverd_up 1\n") {
		t.Errorf("%d %q\n%s", code, &complaints, &out)
	}
}
