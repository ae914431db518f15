// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

const (
	// keptTime is how long a job stays to be read after its end.
	keptTime = 10 * time.Minute
	// keptJobs bounds how many that can be, however fast they come.
	keptJobs = 100
)

// JobState is where a job stands. All but JobRunning are final.
type JobState string

// The states of a job.
const (
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Phase is what a job is at.
type Phase string

// The phases, in their order.
const (
	PhaseWaiting  Phase = "waiting"  // for another job to end
	PhaseResolve  Phase = "resolve"  // dependencies are solved
	PhaseDownload Phase = "download" // packages are fetched
	PhaseInstall  Phase = "install"  // the rpm transaction
	PhaseLoad     Phase = "load"     // devices are to get their drivers
)

// installed is how far a job is that has only to load drivers.
const installed = 0.95

// newJob begins to show a job.
func (e *Engine) newJob(j *job) *job {
	e.lastJob++
	j.number = e.lastJob
	j.began = time.Now()
	j.state, j.phase = JobRunning, PhaseWaiting
	for _, r := range j.records {
		r.job = j
	}
	e.jobs = append(e.jobs, j)
	return j
}

// follow notes how far the transaction of a job is.
func (j *job) follow(p dnfbridge.Progress) {
	switch p.Phase {
	case dnfbridge.PhaseResolve:
		j.phase = PhaseResolve
	case dnfbridge.PhaseDownload:
		j.phase = PhaseDownload
	default:
		j.phase = PhaseInstall
	}
	j.bytesDone, j.bytesTotal = p.BytesDone, p.BytesTotal
	j.progress = max(j.progress, installed*p.Fraction)
}

// idle says whether there was nothing to do for the job.
func (j *job) idle() bool { return !j.committed && j.bytesTotal == 0 && !j.loads }

// endJobs ends the jobs whose devices have come to rest, and forgets old ones.
func (e *Engine) endJobs() {
	for _, j := range e.jobs {
		if j.state == JobRunning && j.phase == PhaseLoad {
			e.endLoad(j)
		}
	}
	ended := 0
	for _, j := range e.jobs {
		if j.state != JobRunning {
			ended++
		}
	}
	e.jobs = slices.DeleteFunc(e.jobs, func(j *job) bool {
		if j.state == JobRunning {
			return false
		}
		tooMany := ended > keptJobs
		if until := j.ended.Add(keptTime); !tooMany && time.Now().Before(until) {
			e.wakeAt(until)
			return false
		}
		ended--
		return true
	})
}

// endLoad ends a job if all of its devices that are still there are settled.
func (e *Engine) endLoad(j *job) {
	var bound []string
	var other *record
	for _, r := range j.records {
		if e.records[r.device.Slot] != r {
			continue // gone
		}
		switch r.state {
		case plan.Pending, plan.Installing, plan.Loading:
			return
		case plan.Bound:
			bound = append(bound, fmt.Sprintf("%s is bound to %s", r.device.Slot, r.device.Driver))
		default:
			other = r
		}
	}
	if other != nil && len(bound) == 0 {
		e.endJob(j, JobFailed, other.reason, fmt.Sprintf("%s is %s: %s%s", other.device.Slot, other.state, other.message, j.lacks))
		return
	}
	if len(j.packages) > 0 {
		bound = slices.Insert(bound, 0, j.summary())
	}
	if j.lacks != "" && len(j.files.asked) > 0 && j.origin != Hotplug {
		e.endJob(j, JobFailed, reason.FirmwareMissing, strings.Join(bound, "; ")+j.lacks) // it was asked for
		return
	}
	e.endJob(j, JobDone, reason.None, strings.Join(bound, "; ")+j.lacks)
}

// summary says what became of the packages of a job that went well.
func (j *job) summary() string {
	packages := strings.Join(j.packages, ", ")
	switch {
	case j.again && j.idle():
		return packages + ": nothing of it is installed, and nothing to be installed again"
	case j.again:
		return packages + " installed again"
	case j.downloadOnly && !j.idle():
		return packages + " downloaded"
	case j.idle() && len(j.packages) > 1:
		return packages + " are installed already"
	case j.idle():
		return packages + " is installed already"
	}
	if j.next != nil {
		return packages + " installed for the next boot"
	}
	return packages + " installed"
}

// endJob gives a job its final state.
func (e *Engine) endJob(j *job, state JobState, why reason.Reason, message string) {
	j.state, j.reason, j.message, j.ended = state, why, message, time.Now()
	if state == JobDone {
		j.progress = 1
	}
	for _, r := range j.records {
		if r.job == j {
			r.job = nil
		}
	}
	e.noteJob(j)
	giveBack()
}

// errCancelled is the cause of a context that ends with its job.
var errCancelled = errors.New("the job is cancelled")

// commit is the last moment at which a job can be cancelled: dnfbridge asks it
// when everything is downloaded and nothing is installed yet.
func (e *Engine) commit(j *job, coming []string) error {
	err := errCancelled
	gone := e.call(e.ctx, func() {
		if j.state == JobRunning {
			j.committed, err = true, nil
			for _, r := range j.records {
				r.mark("downloaded")
			}
		}
	})
	if err = errors.Join(gone, err); err == nil {
		e.beginInstall(coming)
	}
	return err
}

// Cancel ends a job whose rpm transaction has not begun. Its devices are left
// alone until a Rescan, or an Install that names them.
func (e *Engine) Cancel(ctx context.Context, number uint64, origin string) error {
	var refused error
	if err := e.change(ctx, func() { refused = e.cancel(number, origin) }); err != nil {
		return err
	}
	return refused
}

func (e *Engine) cancel(number uint64, origin string) error {
	i := slices.IndexFunc(e.jobs, func(j *job) bool { return j.number == number })
	if i < 0 {
		return refuse(ErrNoSuchJob, "there is no job %d any more", number)
	}
	j := e.jobs[i]
	switch {
	case j.state != JobRunning:
		return refuse(ErrRefused, "job %d has ended already: it is %s", number, j.state)
	case j.committed || j.phase == PhaseLoad:
		return refuse(ErrBusy, "job %d cannot be stopped any more: what it does would be left half done", number)
	}
	e.Log.Info().Str("event", "job-cancelled").Strs("packages", j.packages).Msgf("job %d is cancelled by %s", number, origin)
	e.endJob(j, JobCancelled, reason.None, "cancelled by "+origin)
	if j.stop != nil {
		j.stop(errCancelled)
	}
	for _, r := range j.records {
		if r.install.running {
			r.install, r.mend = attempt{}, nil
		}
		if r.job == nil { // no other job serves it
			r.cancelled, r.asked = origin, false
		}
	}
	e.look()
	return nil
}

// heldBack shows a device whose job was cancelled.
func (e *Engine) heldBack(r *record) {
	e.become(r, plan.Blocked, reason.Policy, fmt.Sprintf(
		"cancelled by %s; driverd install %s or driverd rescan tries again", r.cancelled, r.device.Slot))
}

// Job is one job as the world sees it. The fields are those of the D-Bus
// interface org.fedoraproject.Driverd1.Job.
type Job struct {
	Number     uint64
	State      JobState
	Phase      Phase
	Progress   float64
	BytesDone  int64
	BytesTotal int64
	Packages   []string // NEVRA
	Devices    []hwdetect.Slot
	Reason     reason.Reason
	Message    string
}

func (j *job) view() Job {
	return Job{
		Number: j.number, State: j.state, Phase: j.phase, Progress: j.progress,
		BytesDone: j.bytesDone, BytesTotal: j.bytesTotal,
		Packages: slices.Clone(j.packages), Devices: slices.Clone(j.slots),
		Reason: j.reason, Message: j.message,
	}
}
