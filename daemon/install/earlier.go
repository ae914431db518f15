// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"driverd/reason"
)

// earlierTime is the pause between two looks at the steps of an earlier service.
const earlierTime = 5 * time.Second

// InstalledEarlier waits until no step runs any more that a service before this one has
// started, and returns what these steps have installed. It leaves the steps alone: an
// Install may join them meanwhile.
func (b *Backend) InstalledEarlier(ctx context.Context) ([]string, error) {
	for {
		jobs, err := b.earlierJobs()
		if err != nil {
			return nil, err
		}
		running := slices.ContainsFunc(jobs, func(job uint64) bool { return b.steps.Running(ctx, job) })
		if ctx.Err() == nil && !running {
			b.mu.Lock()
			defer b.mu.Unlock()
			installed := slices.Clone(b.earlier)
			for _, job := range jobs {
				installed = append(installed, b.installedBy(job)...)
			}
			return installed, nil
		}
		select {
		case <-time.After(earlierTime):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// earlierJobs lists the jobs of which a service before this one has left requests.
func (b *Backend) earlierJobs() (jobs []uint64, err error) {
	entries, err := os.ReadDir(b.place.jobs)
	if err != nil {
		return nil, reason.With(reason.TransactionFailed, fmt.Errorf("cannot look for steps that run: %w", err))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		if job, err := ParseJob(e.Name()); err == nil && !b.busy[job] {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

// installedBy returns what the step of a job has installed, nothing if it has failed.
func (b *Backend) installedBy(job uint64) []string {
	o, err := readOutcome(b.place.outcomes, job)
	if err != nil || o.err() != nil {
		return nil
	}
	return o.Coming
}
