// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/plan"
	"driverd/reason"
)

// Job is one job as the world sees it.
type Job = jobs.Status

// JobState is where a job stands. All but JobRunning are final.
type JobState = jobs.State

// The states of a job.
const (
	JobRunning   = jobs.Running
	JobDone      = jobs.Done
	JobFailed    = jobs.Failed
	JobCancelled = jobs.Cancelled
)

// Phase is what a job is at.
type Phase = jobs.Phase

// The phases of a job, in their order.
const (
	PhaseWaiting  = jobs.Waiting
	PhaseResolve  = jobs.Resolve
	PhaseDownload = jobs.Download
	PhaseInstall  = jobs.Install
	PhaseLoad     = jobs.Load
)

// Hotplug is the origin of what the engine does by itself.
const Hotplug = jobs.Hotplug

// endJobs ends the jobs whose devices have come to rest, and forgets old ones.
func (e *Engine) endJobs(now time.Time) {
	for _, j := range e.jobs.All() {
		if j.Active() && j.Phase == jobs.Load {
			e.endLoad(j)
		}
	}
	e.wakeAt(e.jobs.Expire(now))
}

// endLoad ends a job if all of its devices that are still there are settled.
func (e *Engine) endLoad(j *jobs.Job) {
	var said []string
	var unwell *device
	for _, stay := range j.Stays() {
		d := e.present(stay)
		switch {
		case d == nil: // gone
		case !d.shown.Settled():
			return
		case d.shown.State == plan.Bound:
			said = append(said, fmt.Sprintf("%s is bound to %s", d.Slot, d.Driver))
		default:
			unwell = d
		}
	}
	if unwell != nil && len(said) == 0 {
		e.endJob(j, JobFailed, unwell.shown.Reason,
			fmt.Sprintf("%s is %s: %s%s", unwell.Slot, unwell.shown.State, unwell.shown.Message, j.Without))
		return
	}
	if len(j.Packages) > 0 {
		said = slices.Insert(said, 0, j.Summary())
	}
	message := strings.Join(said, "; ") + j.Without
	if j.Without != "" && len(j.Files.Asked) > 0 && j.Origin != Hotplug {
		e.endJob(j, JobFailed, reason.FirmwareMissing, message) // it was asked for
		return
	}
	e.endJob(j, JobDone, reason.None, message)
}

// endJob gives a job its final state.
func (e *Engine) endJob(j *jobs.Job, state JobState, why reason.Reason, message string) {
	e.jobs.End(j, state, why, message, time.Now())
	e.noteJob(j)
	giveBack()
}

// Cancel ends a job whose rpm transaction has not begun. Its devices, and those that wait
// for the same, are left alone from then on, until somebody asks for them, or for a rescan.
func (e *Engine) Cancel(ctx context.Context, number uint64, origin string) error {
	var refused error
	if err := e.change(ctx, func() { refused = e.cancel(number, origin) }); err != nil {
		return err
	}
	return refused
}

func (e *Engine) cancel(number uint64, origin string) error {
	now := time.Now()
	j, err := e.jobs.Cancel(number, origin, now)
	switch {
	case errors.Is(err, jobs.ErrNoSuchJob):
		return refuse(ErrNoSuchJob, "there is no job %d any more", number)
	case errors.Is(err, jobs.ErrEnded):
		return refuse(ErrRefused, "job %d has ended already: it is %s", number, j.State)
	case err != nil:
		return refuse(ErrBusy, "job %d cannot be stopped any more: what it does would be left half done", number)
	}
	e.Log.Info().Str("event", "job-cancelled").Strs("packages", j.Packages).Msgf("job %d is cancelled by %s", number, origin)
	e.noteJob(j)
	for _, key := range j.Tries {
		if _, incomplete := e.incomplete[key]; incomplete || len(j.Stays()) == 0 {
			e.ledger.End(key, j.Number, now, errors.New(j.Message)) // no device says so
		}
		e.ledger.Withdraw(key, j.Number, false)
	}
	for _, d := range e.devices {
		if (j.Serves(d.stay) || bringsParts(j, d)) && e.jobs.Bringing(d.stay) == nil {
			d.cancelled, d.asked = origin, false
		}
	}
	giveBack()
	e.look()
	return nil
}

// bringsParts says whether a job is to bring what a bound device still needs to be whole. It
// does not serve those that came to need it after it had begun.
func bringsParts(j *jobs.Job, d *device) bool {
	return d.want.State == plan.Bound &&
		(slices.Contains(j.Tries, ledger.Packages(d.childPackages)) || slices.Contains(j.Tries, ledger.Firmware(d.missing)))
}

// jobView is a job as the world sees it.
func jobView(j *jobs.Job) Job {
	v := j.Status
	v.Packages, v.Devices = slices.Clone(v.Packages), slices.Clone(v.Devices)
	return v
}

// startRequest starts the job that somebody has asked for and that has waited longest,
// if none is at work. What was allowed when it was asked for may not be now.
func (e *Engine) startRequest() {
	for e.jobs.AtWork() == nil {
		j := e.jobs.Next()
		if j == nil {
			return
		}
		if e.chooseAnew(j) {
			e.run(j)
		}
	}
}

// chooseAnew decides anew about what somebody asked for, and says whether a transaction
// is needed.
func (e *Engine) chooseAnew(j *jobs.Job) bool {
	selectors, err := parseSelectors(j.Selectors)
	if err == nil {
		var c choice
		if c, err = e.choice(selectors); err == nil {
			e.fill(j, c)
			return j.Phase == jobs.Waiting && j.Active()
		}
	}
	if !errors.Is(err, ErrRefused) {
		return true // what it is about was there when it was asked for
	}
	e.endJob(j, JobFailed, reason.Of(err), err.Error())
	return false
}

// fill has a job bring what was chosen, or ends it if there is nothing to do.
func (e *Engine) fill(j *jobs.Job, c choice) {
	j.Wanted, j.Packages = c.packages, c.packages
	j.Files = jobs.Files{Named: c.firmware, Asked: c.asked}
	j.Devices = c.slots
	if j.Kind != jobs.DownloadOnly {
		for _, d := range c.devices {
			j.Serve(d.stay)
			if key := ledger.Packages(d.want.Packages); d.want.Action == plan.Install && !slices.Contains(j.Tries, key) {
				j.Tries = append(j.Tries, key)
			}
		}
	}
	switch {
	case len(c.packages)+len(c.asked) > 0:
	case len(j.Stays()) > 0:
		j.Phase = jobs.Load
	default:
		j.Packages = c.present
		e.endJob(j, JobDone, reason.None, c.already())
	}
}
