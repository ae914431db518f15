// SPDX-License-Identifier: Apache-2.0

package jobs_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"driverd/daemon/jobs"
	"driverd/hwdetect"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func stay(bus uint8, generation uint64) hwdetect.Stay {
	return hwdetect.Stay{Slot: hwdetect.Slot{Bus: bus}, Generation: generation}
}

// working returns a queue whose first job is at work, and what it was stopped with.
func working() (q *jobs.Queue, j *jobs.Job, stopped *error) {
	q, stopped = &jobs.Queue{}, new(error)
	j = q.Add(&jobs.Job{}, start)
	q.Start(j, func(err error) { *stopped = err })
	return q, j, stopped
}

func TestOneIsAtWorkAndOthersWaitInTurn(t *testing.T) {
	t.Parallel()
	q, first, _ := working()
	second, third := q.Add(&jobs.Job{}, start), q.Add(&jobs.Job{}, start)
	if q.AtWork() != first || q.Next() != second || second.Phase != jobs.Waiting || third.Number != 3 {
		t.Errorf("at work %+v, next %+v", q.AtWork(), q.Next())
	}
	q.Finished()
	if q.AtWork() != nil {
		t.Error("it is at work still")
	}
	if _, err := q.Cancel(2, "uid:0", start); err != nil || q.Next() != third {
		t.Errorf("cancelled: %v, next %+v", err, q.Next())
	}
}

func TestNumbersAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	q := &jobs.Queue{}
	q.Numbered(41)
	q.Numbered(7)
	if j := q.Add(&jobs.Job{}, start); j.Number != 42 {
		t.Errorf("job %d", j.Number)
	}
}

// A job can be cancelled until its last moment, and again if the package manager has
// not begun after all.
func TestCancelTellsTheTruth(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(*jobs.Queue, *jobs.Job)
		want error
	}{
		"before":              {func(*jobs.Queue, *jobs.Job) {}, nil},
		"after its moment":    {func(_ *jobs.Queue, j *jobs.Job) { j.Commit() }, jobs.ErrCommitted},
		"installing":          {func(_ *jobs.Queue, j *jobs.Job) { j.Commit(); j.Follow(jobs.Install, 1, 1, 0.5) }, jobs.ErrCommitted},
		"after a lock":        {func(_ *jobs.Queue, j *jobs.Job) { j.Commit(); j.Follow(jobs.Resolve, 0, 0, 0) }, nil},
		"loading":             {func(_ *jobs.Queue, j *jobs.Job) { j.Loading() }, jobs.ErrCommitted},
		"ended":               {func(q *jobs.Queue, j *jobs.Job) { q.End(j, jobs.Done, "", "", start) }, jobs.ErrEnded},
		"cancelled":           {func(q *jobs.Queue, _ *jobs.Job) { _, _ = q.Cancel(1, "uid:1", start) }, jobs.ErrEnded},
		"there is none of it": {func(q *jobs.Queue, j *jobs.Job) { q.End(j, jobs.Done, "", "", start); q.Expire(start.Add(time.Hour)) }, jobs.ErrNoSuchJob},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, j, stopped := working()
			test.do(q, j)
			_, err := q.Cancel(1, "uid:0", start)
			if !errors.Is(err, test.want) {
				t.Fatalf("cancelled: %v, want %v", err, test.want)
			}
			if err == nil && (!errors.Is(*stopped, jobs.ErrCancelled) || j.State != jobs.Cancelled) {
				t.Errorf("stopped with %v, the job is %+v", *stopped, j.Status)
			}
		})
	}
}

func TestWhoServesADevice(t *testing.T) {
	t.Parallel()
	q, first, _ := working()
	first.Serve(stay(1, 1))
	first.Serve(stay(1, 1))
	second := q.Add(&jobs.Job{}, start)
	second.Serve(stay(1, 1))
	second.Serve(stay(1, 2)) // another card in the slot
	if q.Serving(stay(1, 1)) != second || q.Bringing(stay(1, 1)) != second || !slices.Equal(first.Devices, []hwdetect.Slot{{Bus: 1}}) {
		t.Errorf("the newest is not the one; the first is for %v", first.Devices)
	}
	second.Loading()
	if q.Serving(stay(1, 1)) != second || q.Bringing(stay(1, 1)) != first {
		t.Error("a job that only loads brings nothing more")
	}
	if q.Serving(stay(2, 1)) != nil || q.Bringing(stay(1, 2)) != nil {
		t.Error("a job serves what it is not for")
	}
}

func TestProgressNeverFalls(t *testing.T) {
	t.Parallel()
	_, j, _ := working()
	for _, step := range []struct {
		fraction, want float64
	}{{0.5, 0.475}, {0, 0.475}, {1, 0.95}} {
		if j.Follow(jobs.Download, 0, 0, step.fraction); j.Progress != step.want {
			t.Errorf("at %g it is %g, want %g", step.fraction, j.Progress, step.want)
		}
	}
}

func TestEndedJobsAreForgotten(t *testing.T) {
	t.Parallel()
	q := &jobs.Queue{}
	running := q.Add(&jobs.Job{}, start)
	for range 150 {
		q.End(q.Add(&jobs.Job{}, start), jobs.Done, "", "", start)
	}
	if next := q.Expire(start); len(q.All()) != 101 || !next.Equal(start.Add(10*time.Minute)) {
		t.Errorf("%d jobs are kept, the next goes at %s", len(q.All()), next)
	}
	if next := q.Expire(start.Add(10 * time.Minute)); !next.IsZero() || !slices.Equal(q.All(), []*jobs.Job{running}) {
		t.Errorf("%d jobs are kept", len(q.All()))
	}
}
