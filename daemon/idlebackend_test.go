// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// rested is how often the backend was to be stopped so far.
func (w *world) rested() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rests
}

func TestBackendIsStoppedAfterUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.small = true
		engine, _ := w.run(t)
		steps := []struct {
			what string
			do   func()
			wait time.Duration
			want int
		}{
			{"it has learned the catalog", nil, 20 * time.Second, 0},
			{"half a minute later", nil, 11 * time.Second, 1},
			{"nothing was asked of it", nil, time.Hour, 1},
			{"a device came", func() { w.plug(1, igb.alias); engine.Kick() }, 35 * time.Second, 1}, // 10 s of which it works
			{"half a minute after its job", nil, 6 * time.Second, 2},
			{"somebody asked for a plan", func() {
				if _, err := engine.Plan(t.Context(), []string{mega.alias}); err != nil {
					t.Error(err)
				}
			}, 29 * time.Second, 2},
			{"half a minute after it", nil, 2 * time.Second, 3},
			{"somebody else uses it", func() {
				w.change(func() { w.busy = true })
				w.plug(2, mega.alias)
				engine.Kick()
			}, 41 * time.Second, 4},
			{"it is tried again", nil, time.Minute, 6},
			{"until it is done", func() { w.change(func() { w.busy = false }) }, time.Hour, 7},
		}
		for _, s := range steps {
			if s.do != nil {
				s.do()
			}
			if after(s.wait); w.rested() != s.want {
				t.Errorf("%s: it was to be stopped %d times, want %d", s.what, w.rested(), s.want)
			}
		}
	})
}

func TestBackendIsStoppedByConfiguration(t *testing.T) {
	yes, no := true, false
	for name, test := range map[string]struct {
		small bool
		stop  *bool
		want  int
	}{
		"small guest":                    {true, nil, 1},
		"large guest":                    {false, nil, 0},
		"small guest, configured not to": {true, &no, 0},
		"large guest, configured to":     {false, &yes, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.small, w.config.StopBackend = test.small, test.stop
				w.run(t)
				if after(time.Minute); w.rested() != test.want {
					t.Errorf("it was to be stopped %d times, want %d", w.rested(), test.want)
				}
			})
		})
	}
}
