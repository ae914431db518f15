// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"strconv"

	"driverd/daemon/units"
	"driverd/reason"
)

// steps are those of the system.
type steps struct{ *units.Manager }

func unitName(job uint64) string {
	return "driverd-install@" + strconv.FormatUint(job, 10) + ".service"
}

func (s steps) Start(ctx context.Context, job uint64) (<-chan string, error) {
	ended, err := s.Manager.Start(ctx, unitName(job))
	if err != nil {
		return nil, notStarted(unitName(job), err)
	}
	return ended, nil
}

func (s steps) Running(ctx context.Context, job uint64) bool { return s.Starting(ctx, unitName(job)) }

func notStarted(unit string, err error) error {
	return units.NotStarted(unit, reason.BackendMissing, err)
}
