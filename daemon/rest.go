// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"time"
)

// restTime is how long after its last use the backend is stopped: devices often
// come one after the other, and to start it again takes seconds.
const restTime = 30 * time.Second

// used notes that the backend has worked.
func (e *Engine) used() {
	e.restAt = time.Now().Add(restTime)
	e.wakeAt(e.restAt)
}

// rest has the backend stopped when nothing has been asked of it for a while: it
// never ends by itself, and is several times as large as this service.
func (e *Engine) rest() {
	switch {
	case e.restAt.IsZero() || e.resting:
		return
	case time.Now().Before(e.restAt):
		e.wakeAt(e.restAt)
		return
	case e.job != nil || e.catalog.learning || e.next.learning || len(e.plans) > 0:
		return // and the end of that is a use
	}
	e.restAt = time.Time{}
	if !e.stopsBackend() {
		return
	}
	e.resting = true
	var done bool
	e.start(
		func(ctx context.Context) (err error) {
			done, err = e.Backend.Rest(ctx)
			return err
		},
		func(err error) {
			e.resting = false
			switch {
			case err != nil:
				e.Log.Warn().Str("event", "backend-not-stopped").Msgf("%s stays in memory: %v", e.Backend.Name(), err)
			case !done:
				e.used() // by somebody
			}
		})
}

// stopsBackend says whether the backend is to be stopped after its use.
func (e *Engine) stopsBackend() bool {
	if stop := e.config.StopBackend; stop != nil {
		return *stop
	}
	return e.SmallMemory
}
