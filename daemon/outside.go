// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"time"
)

// Outside is what a try may fail for that is neither hardware nor of the
// service. It is looked at like the hardware: what tells of a change only kicks.
type Outside interface {
	// Ways returns by what something beyond the guest can be reached now.
	Ways() []string
	// Repositories returns a text that is another one when their configuration is.
	Repositories() string
}

// lookOutside compares what is outside with what was. What is there at the first
// look is no news.
func (e *Engine) lookOutside(now time.Time) {
	first := e.rested.IsZero()
	ways, repositories := e.Outside.Ways(), e.Outside.Repositories()
	if !first && slices.ContainsFunc(ways, func(way string) bool { return !slices.Contains(e.ways, way) }) {
		e.changes.Network = now
		e.Log.Debug().Strs("ways", ways).Msg("there is a new way out of the guest")
	}
	if !first && repositories != e.repositories {
		e.changes.Repositories = now
		e.Log.Debug().Msg("the repositories are configured anew")
	}
	e.ways, e.repositories = ways, repositories
}
