// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"slices"
	"testing"
	"time"
)

// TestSavedGuestOfAnotherKind sees that a guest that was saved is not taken for one of
// another QEMU, of another disk, or of another day.
func TestSavedGuestOfAnotherKind(t *testing.T) {
	now := time.Date(2026, 11, 29, 13, 0, 0, 0, time.UTC)
	built := now.Add(-time.Hour)
	this := savedOf("QEMU 10.0.2", "image-1/disk.raw", built, now)
	for name, test := range map[string]struct {
		other []string
		same  bool
	}{
		"the same, an hour later": {savedOf("QEMU 10.0.2", "image-1/disk.raw", built, now.Add(time.Hour)), true},
		"another QEMU":            {savedOf("QEMU 10.0.3", "image-1/disk.raw", built, now), false},
		"another RPM":             {savedOf("QEMU 10.0.2", "image-2/disk.raw", built, now), false},
		"a disk built again":      {savedOf("QEMU 10.0.2", "image-1/disk.raw", now, now), false},
		"half a day later":        {savedOf("QEMU 10.0.2", "image-1/disk.raw", built, now.Add(12*time.Hour)), false},
	} {
		if got := slices.Equal(this, test.other); got != test.same {
			t.Errorf("%s: taken for it: %t", name, got)
		}
	}
}
