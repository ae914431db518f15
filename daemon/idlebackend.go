// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"time"
)

// idleTime is how long after its last use the backend is stopped: devices often
// come one after the other, and to start it again takes seconds.
const idleTime = 30 * time.Second

// idleBackend stops the backend when nothing has been asked of it for a while: it
// never ends by itself, and is several times as large as this service.
type idleBackend struct {
	engine   *Engine
	stopAt   time.Time // zero if there is nothing to stop
	stopping bool
}

// used notes that the backend has worked.
func (b *idleBackend) used(now time.Time) {
	b.stopAt = now.Add(idleTime)
	b.engine.wakeAt(b.stopAt)
}

// Step stops the backend if it is time, and returns when it will be.
func (b *idleBackend) Step(now time.Time) (wake time.Time) {
	e := b.engine
	switch {
	case b.stopAt.IsZero() || b.stopping:
		return time.Time{}
	case now.Before(b.stopAt):
		return b.stopAt
	case e.jobs.AtWork() != nil || e.catalog.lastTry().Running() || e.nextKernel.learning() || len(e.plans) > 0:
		return time.Time{} // and the end of that is a use
	}
	b.stopAt = time.Time{}
	if !b.wanted() {
		return time.Time{}
	}
	b.stopping = true
	var done bool
	e.start(
		func(ctx context.Context) (err error) {
			done, err = e.Backend.StopIfUnused(ctx)
			return err
		},
		func(err error) {
			b.stopping = false
			switch {
			case err != nil:
				e.Log.Warn().Str("event", "backend-not-stopped").Msgf("%s stays in memory: %v", e.Backend.Name(), err)
			case !done:
				b.used(time.Now()) // by somebody
			}
		})
	return time.Time{}
}

// wanted says whether the backend is to be stopped after its use.
func (b *idleBackend) wanted() bool {
	if stop := b.engine.config.StopBackend; stop != nil {
		return *stop
	}
	return b.engine.SmallMemory
}
