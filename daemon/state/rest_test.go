// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/daemon/state"
	"driverd/hwdetect"
)

// What was kept is taken once.
func TestRestIsTakenOnce(t *testing.T) {
	t.Parallel()
	rest := state.Rest{Path: filepath.Join(t.TempDir(), "asleep")}
	want := []daemon.Stayed{{
		Slot: hwdetect.Slot{Domain: 0x10000, Bus: 1}, Generation: 4711, State: "bound", Message: "a", HadDriver: true, Modules: []string{"igb"},
		Timeline: []daemon.Mark{{Step: "seen", Time: time.UnixMicro(1764400000000001).UTC()}},
	}}
	if err := rest.Keep(want); err != nil {
		t.Fatal(err)
	}
	got, err := rest.Take()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := rest.Take(); got != nil || err != nil {
		t.Errorf("then there are %v, %v", got, err)
	}
}

// A file that cannot be understood is gone as well: udev takes it for a service at rest.
func TestRestThatIsSpoilt(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "cut short": `{"version":1,"dev`, "of a later form": `{"version":2}`} {
		path := holding(t, "asleep", []byte(text))
		rest := state.Rest{Path: filepath.Join(path, "asleep")}
		if got, err := rest.Take(); err == nil {
			t.Errorf("one that is %s gives %v", name, got)
		}
		if _, err := os.Stat(rest.Path); err == nil {
			t.Errorf("one that is %s stays", name)
		}
	}
}
