// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"math/rand/v2"
	"time"

	"driverd/reason"
)

// Retry says what makes another try of something that has failed worthwhile. A
// rescan and a request always do.
type Retry struct {
	InTime       bool // it may pass by itself: with a pause that grows
	Network      bool // there is a new way out of the guest
	Repositories bool // the repositories are configured differently
	Modules      bool // the modules on the disk are others
}

// retries is the one policy for everything that is tried. A reason that is not in it
// is that of a driver, or of the kernel: other modules are another chance.
// ARCHITECTURE.md shows the table; a test keeps both equal.
var retries = map[reason.Reason]Retry{
	reason.BackendBusy:        {InTime: true},
	reason.BackendMissing:     {InTime: true},
	reason.NotAuthorized:      {InTime: true}, // polkit says no while it is restarted
	reason.NoSpace:            {InTime: true},
	reason.TransactionFailed:  {InTime: true},
	reason.RepoUnreachable:    {InTime: true, Network: true, Repositories: true},
	reason.NoPackage:          {InTime: true, Repositories: true},
	reason.Excluded:           {Repositories: true},
	reason.StaleKernel:        {InTime: true, Repositories: true},
	reason.TransactionRefused: {Repositories: true},
	reason.UntrustedPackage:   {Repositories: true},
	reason.FirmwareMissing:    {Network: true, Repositories: true, Modules: true},
}

// RetryOf returns what makes another try worthwhile after err.
func RetryOf(err error) Retry {
	if errors.Is(err, reason.ErrNotStarted) {
		return Retry{InTime: true, Modules: true}
	}
	if r, ok := retries[reason.Of(err)]; ok {
		return r
	}
	return Retry{Modules: true}
}

// Changes are the moments at which things that a try may fail for were last seen to
// change.
type Changes struct {
	Network, Repositories, Modules time.Time
}

// Overtake says whether what a try failed for has changed since it began.
func (c Changes) Overtake(t Try) bool {
	r := RetryOf(t.Err)
	return t.Failed() && (r.Network && c.Network.After(t.Began) ||
		r.Repositories && c.Repositories.After(t.Began) ||
		r.Modules && c.Modules.After(t.Began))
}

// backoff is how long to wait after so many failures: half a minute, doubled each
// time, an hour at most, and up to a fifth more, so that a fleet that failed
// together does not come back together.
func backoff(failures int) time.Duration {
	d := min(30*time.Second<<min(failures-1, 10), time.Hour)
	return d + rand.N(d/5)
}
