// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"time"

	"driverd/reason"
)

// Outside is what a try may fail for that is neither hardware nor of the
// service. It is looked at like the hardware: what tells of a change only kicks.
type Outside interface {
	// Ways returns by what something beyond the guest can be reached now.
	Ways() []string
	// Repositories returns a text that is another one when their configuration is.
	Repositories() string
}

// outside is how that was at the last look, and when it was last seen to change.
type outside struct {
	ways         []string
	repositories string
	connected    time.Time // there was a new way
	configured   time.Time // the repositories were others
}

// lookOutside compares what is outside with what was. What is there at the first
// look is no news.
func (e *Engine) lookOutside() {
	o, now, first := &e.outside, time.Now(), e.rested.IsZero()
	ways, repositories := e.Outside.Ways(), e.Outside.Repositories()
	if !first && slices.ContainsFunc(ways, func(way string) bool { return !slices.Contains(o.ways, way) }) {
		o.connected = now
		e.Log.Debug().Strs("ways", ways).Msg("there is a new way out of the guest")
	}
	if !first && repositories != o.repositories {
		o.configured = now
		e.Log.Debug().Msg("the repositories are configured anew")
	}
	o.ways, o.repositories = ways, repositories
}

// overtaken says whether what a try failed for has changed since it began, so
// that another one need not wait for its time.
func (e *Engine) overtaken(began time.Time, err error) bool {
	switch reason.Of(err) {
	case reason.RepoUnreachable, reason.FirmwareMissing:
		return e.outside.connected.After(began) || e.outside.configured.After(began)
	case reason.NoPackage, reason.StaleKernel, reason.UntrustedPackage, reason.TransactionRefused:
		return e.outside.configured.After(began)
	}
	return false
}
