// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"driverd/hwdetect"
)

// steps are load steps as systemd runs them: each takes a while to begin.
type steps struct {
	units         *Units
	begun, loaded atomic.Int64
}

var errOfStep = errors.New("the driver did not bind")

func newSteps(t *testing.T) *steps {
	s := &steps{}
	holds := t.TempDir()
	s.units = newUnits(func(ctx context.Context, slot hwdetect.Slot) error {
		s.begun.Add(1)
		time.Sleep(time.Second)
		if !awaitRelease(ctx, filepath.Join(holds, slot.String()), nil, holdPoll) {
			return nil
		}
		s.loaded.Add(1)
		return errOfStep
	}, holds)
	return s
}

// holds is how many files there are in the folder of holds.
func (s *steps) holds(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir(s.units.holds)
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// A step hears at once what becomes of its hold, and does not wait until it looks again.
func TestNewsOfAHold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(hold string) error // nil where there is none
		goes bool
	}{
		"released":    {os.Remove, true},
		"told to end": {func(hold string) error { return os.WriteFile(hold, []byte("end\n"), 0o644) }, false},
		"not there":   {nil, true},
		"held for now": {func(hold string) error {
			return errors.Join(os.WriteFile(hold, nil, 0o644), os.Chmod(hold, 0o600), os.Remove(hold))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			hold := filepath.Join(folder, "0000:01:00.0")
			if test.do == nil {
				test.do = func(string) error { return nil }
			} else if err := os.WriteFile(hold, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			news := watch(t.Context(), folder)
			<-news // it is watched from now on
			ended := make(chan bool)
			go func() { ended <- awaitRelease(t.Context(), hold, news, time.Hour) }()
			if err := test.do(hold); err != nil {
				t.Fatal(err)
			}
			select {
			case goes := <-ended:
				if goes != test.goes {
					t.Errorf("it goes on: %t", goes)
				}
			case <-time.After(time.Minute):
				t.Fatal("it has heard nothing")
			}
		})
	}
}

func TestPrepared(t *testing.T) {
	t.Parallel()
	slot := hwdetect.Slot{Bus: 1}
	for name, test := range map[string]struct {
		before        func(t *testing.T, u *Units)
		begun, loaded int64
		takes         time.Duration // at most
	}{
		"not prepared": {func(*testing.T, *Units) {}, 1, 1, time.Second + holdPoll},
		"prepared": {func(t *testing.T, u *Units) {
			u.Prepare(t.Context(), slot)
			u.Prepare(t.Context(), slot)
			time.Sleep(time.Minute)
		}, 1, 1, holdPoll},
		"prepared, and not begun": {func(t *testing.T, u *Units) { u.Prepare(t.Context(), slot) }, 1, 1, time.Second + holdPoll},
		"another device": {func(t *testing.T, u *Units) {
			u.Prepare(t.Context(), hwdetect.Slot{Bus: 2})
			time.Sleep(time.Minute)
		}, 2, 1, time.Second + holdPoll},
		"not needed any more": {func(t *testing.T, u *Units) {
			ctx, cancel := context.WithCancel(t.Context())
			u.Prepare(ctx, slot)
			time.Sleep(time.Minute)
			cancel()
			synctest.Wait()
		}, 2, 1, time.Second + 2*holdPoll},
		"not needed any more, long ago": {func(t *testing.T, u *Units) {
			ctx, cancel := context.WithCancel(t.Context())
			u.Prepare(ctx, slot)
			cancel()
			time.Sleep(time.Minute)
		}, 2, 1, time.Second + holdPoll},
		"held for too long": {func(t *testing.T, u *Units) {
			u.Prepare(t.Context(), slot)
			time.Sleep(holdTime + time.Minute)
		}, 2, 1, time.Second + holdPoll},
		"by a service before this one": {func(t *testing.T, u *Units) {
			if err := os.WriteFile(u.hold(slot), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, 1, 1, time.Second + holdPoll},
		"without a folder": {func(t *testing.T, u *Units) {
			u.holds = filepath.Join(u.holds, "missing")
			u.Prepare(t.Context(), slot)
			time.Sleep(time.Minute)
			u.holds = filepath.Dir(u.holds)
		}, 1, 1, time.Second + holdPoll},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSteps(t)
				test.before(t, s.units)
				began := time.Now()
				if err := s.units.Load(t.Context(), slot); !errors.Is(err, errOfStep) {
					t.Errorf("the step ended with %v", err)
				}
				if took := time.Since(began); took > test.takes {
					t.Errorf("it took %s, want at most %s", took, test.takes)
				}
				time.Sleep(holdTime + time.Minute)
				if begun, loaded := s.begun.Load(), s.loaded.Load(); begun != test.begun || loaded != test.loaded {
					t.Errorf("%d steps began and %d loaded, want %d and %d", begun, loaded, test.begun, test.loaded)
				}
				if n := s.holds(t); n != 0 {
					t.Errorf("%d are held", n)
				}
			})
		})
	}
}

// A service that has gone, or that somebody has taken over, can do no more than have a step
// end, after a while or at once.
func TestHeldForEver(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]func(path string) error{
		"a file":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"a FIFO":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "0000:01:00.0")
				if err := hold(path); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if awaitRelease(t.Context(), path, nil, holdPoll) {
					t.Error("it goes on")
				}
				if took := time.Since(began); took > maxHold {
					t.Errorf("it has waited for %s", took)
				}
			})
		})
	}
}
