// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"slices"
	"time"

	"driverd/daemon/phase"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// RestFile keeps what is remembered of the devices while the service is at rest, until the guest
// is shut down. While the file exists, a new device starts the service, and so does a client; it is
// removed when the service has its name on the bus.
type RestFile interface {
	// Load returns what was kept: nothing without a file.
	Load() ([]Stayed, error)
	Keep(stayed []Stayed) error
}

// Stayed is what is remembered of one stay of a device.
type Stayed struct {
	Slot       hwdetect.Slot
	Generation uint64
	State      plan.State // what it showed, with Reason and Message
	Reason     reason.Reason
	Message    string
	HadDriver  bool     // it has a driver, or somebody has taken it away
	Modules    []string // that the driver is made of
	Timeline   []Mark
}

// restful says whether the service may end after a look that began at a moment: it is configured so,
// nothing is under way, nothing is to be tried again, and nothing has been tried that a later start
// would try once more.
func (e *Engine) restful(began time.Time) bool {
	may := e.SmallMemory
	if e.config.IdleExit != nil {
		may = *e.config.IdleExit
	}
	if !may || e.Gate != nil || e.blind != nil || e.misconfigured != nil ||
		e.due.Before(began.Add(resyncTime)) || // somebody wants to be called before
		len(e.jobs.All()) > 0 || len(e.loading) > 0 || len(e.plans) > 0 || len(e.incomplete) > 0 ||
		e.children.asking || e.interrupted.awaiting || e.idleBackend.stopping || !e.ledger.Clean(e.needed()) ||
		e.nextKernel.unlearned() && e.modeNow() == Auto {
		return false
	}
	for _, d := range e.devices {
		switch d.shown.State {
		case plan.Bound, plan.Blocked, plan.Unsupported:
		default:
			return false
		}
		if d.leftAlone() {
			return false
		}
	}
	return true
}

// Remember keeps what is remembered of the devices: from then on a new one starts the service.
func (e *Engine) Remember(ctx context.Context) error {
	var stayed []Stayed
	if err := e.call(ctx, func() {
		for _, d := range e.sorted() {
			stayed = append(stayed, Stayed{
				Slot: d.Slot, Generation: d.Generation,
				State: d.shown.State, Reason: d.shown.Reason, Message: d.shown.Message,
				HadDriver: !d.tenure.since.IsZero(), Modules: d.tenure.modules, Timeline: slices.Clone(d.timeline),
			})
		}
	}); err != nil {
		return err
	}
	return e.RestFile.Keep(stayed)
}

// Rest looks once more, and says whether there is nothing to do: Run may end.
func (e *Engine) Rest(ctx context.Context) (restful bool, err error) {
	err = e.call(ctx, func() {
		e.look()
		restful = e.rest
	})
	return restful, err
}

// restoreStayed takes what was kept when the service came to rest.
func (e *Engine) restoreStayed() {
	stayed, err := e.RestFile.Load()
	if err != nil {
		e.Log.Warn().Str("event", "rest-unreadable").
			Msgf("a driver that somebody has taken from a device may be loaded again, as what was known of the devices is lost: %v", err)
	}
	e.woken = len(stayed) > 0
	e.stayed = make(map[hwdetect.Stay]Stayed, len(stayed))
	for _, s := range stayed {
		e.stayed[hwdetect.Stay{Slot: s.Slot, Generation: s.Generation}] = s
	}
}

// remember has a device go on from where it was when the service came to rest, and says false if it
// was not there.
func (d *device) remember(stayed map[hwdetect.Stay]Stayed) bool {
	s, ok := stayed[d.stay]
	if !ok {
		return false
	}
	delete(stayed, d.stay)
	d.shown = phase.Phase{State: s.State, Reason: s.Reason, Message: s.Message}
	d.timeline = s.Timeline
	if s.HadDriver {
		d.tenure = tenure{since: d.seen, proven: true, modules: s.Modules}
	}
	return true
}
