// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"errors"
	"testing"

	"driverd/daemon/load"
	"driverd/hwdetect"
	"driverd/reason"
)

// A reason crosses the border of privilege as an exit status and comes out the same.
func TestReasonsSurviveTheExitStatus(t *testing.T) {
	t.Parallel()
	if got := load.ExitStatus(nil); got != 0 {
		t.Errorf("success exits with %d", got)
	}
	slot := hwdetect.Slot{Bus: 1}
	statuses := make(map[int]reason.Reason)
	for _, r := range []reason.Reason{
		reason.Blacklisted, reason.ModulesDisabled, reason.KeyRejected,
		reason.DriverOverride, reason.ProbeFailed, reason.NoDriver,
	} {
		status := load.ExitStatus(reason.With(r, errors.New("cannot load")))
		if other, taken := statuses[status]; taken || status <= 5 || status >= 64 {
			t.Errorf("%s exits with %d, which is that of %q or of somebody else", r, status, other)
		}
		statuses[status] = r
		err := load.FromExitStatus(slot, status)
		if reason.Of(err) != r || err.Error() == "" {
			t.Errorf("%s came back as %v (%s)", r, err, reason.Of(err))
		}
	}
}

func TestUnknownExitStatus(t *testing.T) {
	t.Parallel()
	if got := load.ExitStatus(errors.New("cannot read the index")); got != 1 {
		t.Errorf("an error without a reason exits with %d", got)
	}
	for _, status := range []int{-1, 1, 2, 203, 255} {
		if err := load.FromExitStatus(hwdetect.Slot{}, status); reason.Of(err) != reason.ProbeFailed {
			t.Errorf("status %d: %v", status, err)
		}
	}
}
