// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"testing"
)

// TestScratchOfAKilledRunGoes makes what a run leaves that was killed: a folder whose
// lock has ended with its process.
func TestScratchOfAKilledRunGoes(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var all []scratch
	for range 2 {
		s, err := newScratch()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	used, killed := all[0], all[1]
	if err := killed.lock.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := newScratch()
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[scratch]bool{used: true, killed: false, next: true} {
		if _, err := os.Stat(s.dir); (err == nil) != want {
			t.Errorf("it is there: %t, want %t: %v", err == nil, want, err)
		}
	}
	for _, s := range []scratch{used, next} {
		if err := s.remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.dir); err == nil {
			t.Error("it is left")
		}
	}
}
