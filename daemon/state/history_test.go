// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon"
	"driverd/daemon/state"
)

// holding returns a folder with one file.
func holding(t *testing.T, name string, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// aside sees that a refused file lies beside its place, whole, and that the
// error says so.
func aside(t *testing.T, dir, name string, content []byte, refusal error) {
	t.Helper()
	path := filepath.Join(dir, name)
	if got, err := os.ReadFile(path + ".corrupt"); err != nil || string(got) != string(content) {
		t.Errorf("set aside is %q: %v", got, err)
	}
	if _, err := os.Stat(path); err == nil || !strings.Contains(refusal.Error(), path+".corrupt") {
		t.Errorf("still there, or the error does not say where it is: %v", refusal)
	}
}

func TestMode(t *testing.T) {
	t.Parallel()
	kept := state.Mode{Dir: t.TempDir()}
	if mode, err := kept.Load(); mode != "" || err != nil {
		t.Errorf("never set, it is %q: %v", mode, err)
	}
	for _, want := range []daemon.Mode{daemon.Observe, daemon.Auto} {
		if err := kept.Save(want); err != nil {
			t.Fatal(err)
		}
		if mode, err := kept.Load(); mode != want || err != nil {
			t.Errorf("set to %s, it is %q: %v", want, mode, err)
		}
	}
	for _, content := range []string{"", "Auto", "auto observe", "\x00", strings.Repeat("x", 1<<20)} {
		dir := holding(t, "mode", []byte(content))
		mode, err := state.Mode{Dir: dir}.Load()
		if err == nil || mode != "" {
			t.Fatalf("%.20q is taken for the mode %q", content, mode)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		aside(t, dir, "mode", []byte(content), err)
	}
}

func TestUnfinished(t *testing.T) {
	t.Parallel()
	kept := state.Unfinished{Dir: t.TempDir()}
	if boots, err := kept.Load(); boots != nil || err != nil {
		t.Errorf("never kept, it is %v: %v", boots, err)
	}
	for _, want := range []map[string]string{{"a-1-1.x86_64": "boot"}, {}} {
		if err := kept.Save(want); err != nil {
			t.Fatal(err)
		}
		if boots, err := kept.Load(); !cmp.Equal(boots, want) || err != nil {
			t.Errorf("kept %v, it is %v: %v", want, boots, err)
		}
	}
	for _, content := range []string{"", "[]", `{"version":2,"boots":{}}`, `{"version":1,"boots":{"a":1}}`, `{"version":1,"boots":{"a":"b"`} {
		dir := holding(t, "unfinished.json", []byte(content))
		boots, err := state.Unfinished{Dir: dir}.Load()
		if err == nil || boots != nil {
			t.Fatalf("%q is taken for %v", content, boots)
		}
		aside(t, dir, "unfinished.json", []byte(content), err)
	}
}

// FuzzHistory sees that whatever lies in the place of the history is set aside,
// or can be kept and comes back.
func FuzzHistory(f *testing.F) {
	for _, content := range []string{
		``, `{}`, `[]`, `null`, `{"version":2,"entries":[]}`, `{"version":1}`, `{"version":1,"entries":[{}]}`,
		`{"version":1,"entries":[{"Slots":["x"]}]}`, `{"version":1,"entries":[{"Message":"\u0000\ud800"}`,
	} {
		f.Add([]byte(content))
	}
	dir := f.TempDir()
	entries := []daemon.Entry{{Began: time.Unix(1, 0).UTC(), Time: time.Unix(2, 0).UTC(), Packages: []string{"a-1-1.x86_64"}, Message: "m"}}
	if err := (state.History{Dir: dir}).Save(daemon.KeptHistory{Entries: entries, Vendors: []string{"v"}}); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(filepath.Join(dir, "history.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)/2])
	f.Fuzz(func(t *testing.T, content []byte) {
		history := state.History{Dir: holding(t, "history.json", content)}
		asideOrKept(t, history.Dir, "history.json", content, history.Load, history.Save)
	})
}
