// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/daemon/phase"
)

// Check says what is wrong with the state of the engine between two looks: nil if
// nothing is.
func (e *Engine) Check(ctx context.Context) (wrong error) {
	if err := e.call(ctx, func() { wrong = e.check() }); err != nil {
		return err
	}
	return wrong
}

func (e *Engine) check() error {
	if time.Until(e.due) <= maxSettleTime {
		return nil // the look is still to come
	}
	working := e.jobs.AtWork() != nil
	for _, d := range e.devices {
		p := d.shown
		underWay := working || len(e.loading) > 0 || p.Name == phase.Learning && e.catalog.lastTry().Running()
		if !p.Settled() && !underWay && p.Wake.IsZero() {
			return fmt.Errorf("%s waits for nothing: %+v", d.Slot, p)
		}
		if j := e.jobs.Bringing(d.stay); d.cancelled != "" && j != nil {
			return fmt.Errorf("%s is cancelled, and job %d is to bring what it needs", d.Slot, j.Number)
		}
	}
	for _, j := range e.jobs.All() {
		switch {
		case !j.Active() && j.Ended.IsZero():
			return fmt.Errorf("job %d is %s, and has not ended", j.Number, j.State)
		case j.Active() && j != e.jobs.AtWork() && j.Phase != jobs.Load && j.Phase != jobs.Waiting:
			return fmt.Errorf("job %d is in %s, and nobody is at work on it", j.Number, j.Phase)
		case j.Active() && j.Phase == jobs.Waiting && !working:
			return fmt.Errorf("job %d waits for nothing", j.Number)
		case j == e.jobs.AtWork() && j.Active():
			for _, key := range j.Tries {
				if try := e.ledger.Get(key); !try.Running() || try.Owner != j.Number {
					return fmt.Errorf("job %d is at work on %v, which is %+v", j.Number, key, try)
				}
			}
		}
	}
	for _, d := range e.loading {
		if try := e.ledger.Get(ledger.Load(d.stay)); !try.Running() && !e.ledger.Get(ledger.Children(d.stay)).Running() {
			return fmt.Errorf("the load step of %s runs, and its try is %+v", d.Slot, try)
		}
	}
	return nil
}
