// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"testing"

	"github.com/godbus/dbus/v5"

	"driverd/hwdetect"
	"driverd/reason"
)

func TestWhatWasNotStarted(t *testing.T) {
	t.Parallel()
	slot := hwdetect.Slot{Bus: 1}
	dir := Outcomes{t.TempDir()}
	for name, test := range map[string]struct {
		err        error
		reason     reason.Reason
		notStarted bool
	}{
		"polkit says no":       {notStarted("u", dbus.Error{Name: "org.freedesktop.DBus.Error.AccessDenied"}), reason.NotAuthorized, true},
		"systemd is away":      {notStarted("u", errors.New("connection refused")), reason.ProbeFailed, true},
		"its job is cancelled": {outcomeOf(dir, slot, "canceled"), reason.ProbeFailed, true},
		"the step has failed":  {outcomeOf(dir, slot, "failed"), reason.ProbeFailed, false},
		"the step went well":   {outcomeOf(dir, slot, "done"), reason.None, false},
	} {
		if why, not := reason.Of(test.err), errors.Is(test.err, reason.ErrNotStarted); why != test.reason || not != test.notStarted {
			t.Errorf("%s: %v: reason %q, not started: %t", name, test.err, why, not)
		}
	}
}
