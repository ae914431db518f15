// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/daemon/state"
	"driverd/hwdetect"
)

// What was kept is there until it is removed.
func TestRest(t *testing.T) {
	t.Parallel()
	rest := state.Rest{Path: filepath.Join(t.TempDir(), "asleep")}
	want := []daemon.Stayed{{
		Slot: hwdetect.Slot{Domain: 0x10000, Bus: 1}, Generation: 4711, State: "bound", Message: "a", HadDriver: true, Modules: []string{"igb"},
		Timeline: []daemon.Mark{{Step: "seen", Time: time.UnixMicro(1764400000000001).UTC()}},
	}}
	if err := rest.Keep(want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := rest.Load()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	for range 2 {
		if err := rest.Remove(); err != nil {
			t.Error(err)
		}
	}
	if got, err := rest.Load(); got != nil || err != nil {
		t.Errorf("then there are %v, %v", got, err)
	}
}

// A file that cannot be understood is an error.
func TestRestThatIsSpoilt(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "cut short": `{"version":1,"dev`, "of a later form": `{"version":2}`} {
		path := holding(t, "asleep", []byte(text))
		rest := state.Rest{Path: filepath.Join(path, "asleep")}
		if got, err := rest.Load(); err == nil {
			t.Errorf("one that is %s gives %v", name, got)
		}
	}
}
