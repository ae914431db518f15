// SPDX-License-Identifier: Apache-2.0

package jobs

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"driverd/hwdetect"
	"driverd/reason"
)

const (
	// keptTime is how long a job stays to be read after its end.
	keptTime = 10 * time.Minute
	// keptJobs bounds how many that can be, however fast they come.
	keptJobs = 100
)

// Why a job is not cancelled, as errors.Is finds it.
var (
	ErrNoSuchJob = errors.New("no such job")
	ErrEnded     = errors.New("the job has ended")
	ErrCommitted = errors.New("the job cannot be stopped any more")

	// ErrCancelled is what the work of a job ends with that is cancelled.
	ErrCancelled = errors.New("the job is cancelled")
)

// Queue holds the jobs. One is at work at a time: package managers lock, and a
// second one would only wait.
type Queue struct {
	jobs   []*Job // that have not ended, and the last that have; the oldest first
	atWork *Job   // whose transaction is; nil if none is
	last   uint64 // number of the newest
}

// Numbered makes sure that no job gets a number up to n: one has it already.
func (q *Queue) Numbered(n uint64) { q.last = max(q.last, n) }

// Add puts a job into the queue, where it waits.
func (q *Queue) Add(j *Job, now time.Time) *Job {
	q.last++
	j.Number, j.Began, j.State, j.Phase = q.last, now, Running, Waiting
	q.jobs = append(q.jobs, j)
	return j
}

// All returns all jobs that can be read, the oldest first.
func (q *Queue) All() []*Job { return q.jobs }

// AtWork returns the job whose transaction is at work, nil if none is.
func (q *Queue) AtWork() *Job { return q.atWork }

// Next returns the job that has waited longest, nil if none waits.
func (q *Queue) Next() *Job {
	for _, j := range q.jobs {
		if j.Active() && j.Phase == Waiting {
			return j
		}
	}
	return nil
}

// Serving returns the newest job that serves a device and has not ended, nil if none
// does.
func (q *Queue) Serving(stay hwdetect.Stay) *Job {
	for _, j := range slices.Backward(q.jobs) {
		if j.Active() && j.Serves(stay) {
			return j
		}
	}
	return nil
}

// Bringing returns the newest job that is to bring something for a device, nil if
// none is.
func (q *Queue) Bringing(stay hwdetect.Stay) *Job {
	for _, j := range slices.Backward(q.jobs) {
		if j.Active() && j.Phase != Load && j.Serves(stay) {
			return j
		}
	}
	return nil
}

// Start puts a job to work. Stop ends what the backend does for it.
func (q *Queue) Start(j *Job, stop func(error)) {
	q.atWork, j.stop, j.Phase = j, stop, Resolve
}

// Finished notes that the backend has nothing more to do for the job at work.
func (q *Queue) Finished() {
	q.atWork.stop(nil)
	q.atWork = nil
}

// End gives a job its final state.
func (q *Queue) End(j *Job, state State, why reason.Reason, message string, now time.Time) {
	j.State, j.Reason, j.Message, j.Ended = state, why, message, now
	if state == Done {
		j.Progress = 1
	}
}

// Cancel ends a job whose rpm transaction has not begun. What its packages are for
// is left to the caller.
func (q *Queue) Cancel(number uint64, by string, now time.Time) (*Job, error) {
	i := slices.IndexFunc(q.jobs, func(j *Job) bool { return j.Number == number })
	if i < 0 {
		return nil, fmt.Errorf("%w: %d", ErrNoSuchJob, number)
	}
	j := q.jobs[i]
	switch {
	case !j.Active():
		return j, fmt.Errorf("%w: it is %s", ErrEnded, j.State)
	case j.committed || j.Phase == Load:
		return j, ErrCommitted
	}
	q.End(j, Cancelled, reason.None, "cancelled by "+by, now)
	if j.stop != nil {
		j.stop(ErrCancelled)
	}
	return j, nil
}

// Expire forgets jobs that ended long ago, or of which there are too many, and
// returns when the next one is to be forgotten; zero if none is.
func (q *Queue) Expire(now time.Time) (next time.Time) {
	ended := 0
	for _, j := range q.jobs {
		if !j.Active() {
			ended++
		}
	}
	q.jobs = slices.DeleteFunc(q.jobs, func(j *Job) bool {
		if j.Active() {
			return false
		}
		until := j.Ended.Add(keptTime)
		if ended <= keptJobs && now.Before(until) {
			if next.IsZero() || until.Before(next) {
				next = until
			}
			return false
		}
		ended--
		return true
	})
	return next
}
