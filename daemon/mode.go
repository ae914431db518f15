// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"time"
)

// ModeFile keeps the mode that was set across restarts.
type ModeFile interface {
	// Load returns the empty mode if none is set.
	Load() (Mode, error)
	// Save keeps the mode; the empty one is kept as none.
	Save(Mode) error
}

// SetMode sets how far the engine may go by itself, for good; the empty mode gives
// that back to the configuration. A mode that cannot be kept is not taken.
func (e *Engine) SetMode(ctx context.Context, mode Mode, origin string) error {
	if mode != Auto && mode != Observe && mode != "" {
		return refuse(ErrNotUnderstood, "there is no mode %.80q: want %s, %s, or none", mode, Auto, Observe)
	}
	e.modes.Lock()
	defer e.modes.Unlock()
	var is Mode
	if err := e.call(ctx, func() { is = e.mode }); err != nil || is == mode {
		return err
	}
	if err := e.ModeFile.Save(mode); err != nil {
		return err
	}
	return e.change(ctx, func() {
		e.mode = mode
		e.Log.Info().Str("event", "mode-set").Msgf("the mode is %s now, says %s", cmp.Or(mode, "that of the configuration"), origin)
		e.note(Entry{Action: "set-mode", Origin: origin, State: JobDone, Message: string(cmp.Or(mode, "unset")), Began: time.Now()})
		e.look()
	})
}

// restoreMode only observes if it cannot tell what was set: that does no harm.
func (e *Engine) restoreMode() {
	mode, err := e.ModeFile.Load()
	if err != nil {
		mode = Observe
		e.Log.Error().Str("event", "mode-unreadable").Msgf("driverd only observes until its mode is set anew: %v", err)
	}
	e.mode = mode
}

// modeNow is the mode that was set, or else the one that is configured.
func (e *Engine) modeNow() Mode {
	switch {
	case e.misconfigured != nil:
		return Observe
	case e.mode != "":
		return e.mode
	case e.config.Observe:
		return Observe
	}
	return Auto
}
