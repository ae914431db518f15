// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"driverd/daemon/load"
	"driverd/hwdetect/firmware"
	"driverd/reason"
)

// A reason and its text cross the border of privilege and come out the same; a
// success takes away the failure before it.
func TestOutcome(t *testing.T) {
	t.Parallel()
	o := load.Outcomes{Dir: t.TempDir()}
	if err := o.Read(slot); err != nil {
		t.Errorf("no outcome is %v", err)
	}
	for _, r := range []reason.Reason{
		reason.Blacklisted, reason.ModulesDisabled, reason.KeyRejected, reason.Lockdown,
		reason.DriverOverride, reason.FirmwareMissing, reason.ProbeFailed, reason.NoDriver,
	} {
		failed := reason.With(r, errors.New("cannot load a driver: \"no\" way"))
		if err := o.Write(slot, failed); err != nil {
			t.Fatal(err)
		}
		if got := o.Read(slot); reason.Of(got) != r || got.Error() != failed.Error() {
			t.Errorf("%s came back as %v (%s)", r, got, reason.Of(got))
		}
	}
	if err := o.Write(slot, fmt.Errorf("cannot load: %w", reason.Silent(reason.With(reason.ProbeFailed, errors.New("not taken"))))); err != nil {
		t.Fatal(err)
	}
	if err := o.Read(slot); !errors.Is(err, reason.ErrSilent) || reason.Of(err) != reason.ProbeFailed {
		t.Errorf("a driver that has said nothing came back as %v", err)
	}
	missing := &firmware.MissingError{Files: []string{"a/b.bin", "c.bin"}, Err: errors.New("it lacks them")}
	if err := o.Write(slot, fmt.Errorf("cannot load: %w", missing)); err != nil {
		t.Fatal(err)
	}
	var got *firmware.MissingError
	if err := o.Read(slot); !errors.As(err, &got) || !slices.Equal(got.Files, missing.Files) || err.Error() != "cannot load: it lacks them" {
		t.Errorf("missing firmware came back as %v", err)
	}
	for range 2 {
		if err := o.Write(slot, nil); err != nil {
			t.Fatal(err)
		}
		if err := o.Read(slot); err != nil {
			t.Errorf("a success is %v", err)
		}
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// What is read is not believed: it is printable, of bounded length, and gives no
// reason that only others may give.
func TestHostileOutcome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`{"reason": "untrusted-package", "message": "x"}`, "x"},
		{`{"message": "a\u001b[31m\nb\u0000"}`, "a\uFFFD[31m b\uFFFD"},
		{`{"message": "` + strings.Repeat("ä", 2000) + `"}`, strings.Repeat("ä", 997) + "..."},
		{`{"message": "` + strings.Repeat("a", 1<<20) + `"}`, "cannot read why the load step has failed: unexpected end of JSON input: see journalctl -u driverd-load@0000:01:00.0.service"},
		{"", "cannot read why the load step has failed: unexpected end of JSON input: see journalctl -u driverd-load@0000:01:00.0.service"},
	} {
		o := load.Outcomes{Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(o.Dir, slot.String()), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := o.Read(slot); reason.Of(err) != reason.ProbeFailed || err.Error() != c.want {
			t.Errorf("%.60q: %v (%s)", c.text, err, reason.Of(err))
		}
	}
	o := load.Outcomes{Dir: filepath.Join(t.TempDir(), "none")}
	if err := o.Write(slot, errors.New("x")); err == nil {
		t.Error("an outcome that cannot be written is no error")
	}
}
