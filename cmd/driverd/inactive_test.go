// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

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
