// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"net"

	"github.com/rs/zerolog"

	"driverd/daemon/units"
	"driverd/dnfbridge"
)

// Starter has steps run in the place of systemd.
type Starter = starter

// Steps are those of the system.
func Steps() Starter { return steps{new(units.Manager)} }

// Outcome is how a step has ended.
type Outcome = outcome

// NewBackendAt is a backend whose steps, of this user, are somebody else's business.
func NewBackendAt(dnf *dnfbridge.DNF5, log zerolog.Logger, steps Starter, jobs, outcomes string, root uint32) *Backend {
	return newBackend(dnf, log, steps, place{jobs, outcomes, root})
}

// Leave leaves an outcome.
func (o outcome) Leave(dir string, job uint64) error { return o.write(dir, job) }

// WriteRequest leaves a request.
var WriteRequest = writeRequest

// LineOver is a line over connections that dial makes.
func LineOver(ctx context.Context, job uint64, stop context.CancelCauseFunc, dial func() (net.Conn, error)) *Line {
	return openLine(ctx, job, stop, dial)
}

// Call connects to a socket of a user's own.
var Call = call

// MayInstall and Veto are what the configuration has against a request; OfListing is what
// of it a vendor's driver lets come.
var (
	MayInstall = mayInstall
	Veto       = veto
	OfListing  = ofListing
)
