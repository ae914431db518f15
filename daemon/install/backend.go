// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"driverd/daemon/units"
	"driverd/dnfbridge"
	"driverd/reason"
)

// Backend is dnf5daemon for a service without rights: what only reads it asks itself;
// what changes something it has a step do.
type Backend struct {
	*dnfbridge.DNF5
	log   zerolog.Logger
	steps starter
	place place

	mu       sync.Mutex
	listener *listener       // nil until the first step
	busy     map[uint64]bool // jobs whose steps may run
	earlier  []string        // packages that steps of an earlier service have installed
}

// place is where the service and its steps meet.
type place struct {
	jobs, outcomes string
	root           uint32 // the user of the steps
}

// starter has steps run.
type starter interface {
	// Start starts the step of a job, or joins one that runs, and returns what tells how
	// it ends in the words of systemd. Its error is reason.ErrNotStarted.
	Start(ctx context.Context, job uint64) (ended <-chan string, err error)
	// Running says whether the step of a job runs.
	Running(ctx context.Context, job uint64) bool
}

// NewBackend returns the backend of the system. Nothing is connected yet.
func NewBackend(dnf *dnfbridge.DNF5, systemd *units.Manager, log zerolog.Logger) *Backend {
	return newBackend(dnf, log, steps{systemd}, place{jobs: jobsDir, outcomes: outcomeDir})
}

func newBackend(dnf *dnfbridge.DNF5, log zerolog.Logger, steps starter, at place) *Backend {
	return &Backend{DNF5: dnf, log: log, steps: steps, place: at, busy: make(map[uint64]bool)}
}

// Install has a step run one transaction; see dnfbridge.DNF5.Install. What a step of a
// service that has ended is doing is seen to its end first. When ctx is cancelled with
// a cause, the step ends if its transaction has not begun; if ctx just ends, as the
// service does, the step goes on.
func (b *Backend) Install(ctx context.Context, t dnfbridge.Transaction, progress func(dnfbridge.Progress)) error {
	if len(t.Install) == 0 {
		return nil
	}
	failed := func(err error) error {
		return fmt.Errorf("cannot install %s: %w", strings.Join(t.Install, ", "), err)
	}
	l, err := b.listen()
	if err != nil {
		return failed(err)
	}
	if err := b.awaitEarlier(ctx, l, t, progress); err != nil {
		return err
	}
	go b.Wake(ctx) // beside the start of the step
	r := Request{
		Install: t.Install, Allowed: t.Allowed, Others: slices.Sorted(maps.Keys(t.Others)),
		Reinstall: t.Reinstall, DownloadOnly: t.DownloadOnly, Asked: t.Asked,
	}
	job, err := b.leave(r)
	if err != nil {
		return failed(err)
	}
	return b.run(ctx, l, job, t.Commit, progress)
}

// StopIfUnused has a step stop dnf5daemon; see dnfbridge.DNF5.StopIfUnused.
func (b *Backend) StopIfUnused(ctx context.Context) (done bool, err error) {
	return b.DNF5.StopIfUnused(ctx, func(ctx context.Context, owner string) error {
		l, err := b.listen()
		if err != nil {
			return err
		}
		job, err := b.leave(Request{Stop: owner})
		if err != nil {
			return err
		}
		return b.run(ctx, l, job, nil, nil)
	})
}

func (b *Backend) listen() (*listener, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.listener == nil {
		l, err := listen(b.place.jobs, b.place.root)
		if err != nil {
			return nil, reason.With(reason.TransactionFailed, err)
		}
		b.listener = l
	}
	return b.listener, nil
}

// leave leaves a request, and returns the number of its job: the lowest one of which
// there is no request.
func (b *Backend) leave(r Request) (job uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for job = 1; ; job++ {
		if _, err := os.Lstat(requestFile(b.place.jobs, job)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return 0, reason.With(reason.TransactionFailed, fmt.Errorf("cannot leave a request: %w", err))
		}
	}
	if err := writeRequest(b.place.jobs, job, r); err != nil {
		return 0, reason.With(reason.TransactionFailed, err)
	}
	b.busy[job] = true
	return job, nil
}

// withdraw takes the request of a step away that has ended.
func (b *Backend) withdraw(job uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.busy[job] {
		b.earlier = append(b.earlier, b.installedBy(job)...)
	}
	if err := os.Remove(requestFile(b.place.jobs, job)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Debug().Err(err).Msg("a request stays")
	}
	delete(b.busy, job)
}

// awaitEarlier sees the steps to their ends that a service before this one has started.
// What they have installed, InstalledEarlier returns.
func (b *Backend) awaitEarlier(ctx context.Context, l *listener, t dnfbridge.Transaction, progress func(dnfbridge.Progress)) error {
	jobs, err := b.earlierJobs()
	if err != nil {
		return err
	}
	for _, job := range jobs {
		cancelled := l.follower(job)
		switch {
		case cancelled != nil: // while it was waited for
			select {
			case <-cancelled.done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case !b.steps.Running(ctx, job):
			b.withdraw(job)
		default:
			said := &asked{Commit: t.Commit}
			_ = b.run(ctx, l, job, said.commit, progress)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if said.no != nil {
				return said.no
			}
		}
	}
	return nil
}

// asked remembers that the service has said no.
type asked struct {
	Commit func([]string) error
	no     error
}

func (a *asked) commit(coming []string) error {
	if a.Commit != nil {
		a.no = a.Commit(coming)
	}
	return a.no
}

// run starts the step of a job, or joins the one that runs, and returns how it ends.
func (b *Backend) run(ctx context.Context, l *listener, job uint64, commit func([]string) error, progress func(dnfbridge.Progress)) error {
	f := l.follow(job)
	ended, err := b.steps.Start(ctx, job)
	if err != nil {
		l.leave(job)
		b.withdraw(job)
		return err
	}
	end := func() { b.withdraw(job) } // only then its number is free

	var no error // what the service has said instead of yes
	for {
		select {
		case m := <-f.messages:
			m.report(progress)
			if (m.Ask || m.Committed) && commit != nil {
				no = commit(m.Coming)
			}
			if m.Ask {
				f.tell(no == nil)
			}
		case result := <-ended:
			l.leave(job)
			end()
			return b.outcomeOf(job, result, no)
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(cause, context.Canceled) {
				l.leave(job) // the step calls the next service
				go func() { <-ended; end() }()
			} else {
				go func() { f.refuse(ended); l.leave(job); end() }()
			}
			return cause
		}
	}
}

// report tells of the progress that a message has.
func (m message) report(progress func(dnfbridge.Progress)) {
	if progress == nil {
		return
	}
	for _, nevra := range m.Unpacked {
		p := dnfbridge.Progress{Phase: dnfbridge.PhaseUnpacked, Package: nevra}
		if m.Progress != nil {
			p.Fraction, p.BytesDone, p.BytesTotal = m.Progress.Fraction, m.Progress.BytesDone, m.Progress.BytesTotal
		}
		progress(p)
	}
	if m.Progress != nil {
		progress(*m.Progress)
	}
}

// outcomeOf is how a step has ended of which systemd says the result of its job: one
// that is "canceled", or whose "dependency" failed, never began.
func (b *Backend) outcomeOf(job uint64, result string, no error) error {
	unit := unitName(job)
	switch result {
	case "done":
	case "canceled", "dependency", "skipped":
		return notStarted(unit, fmt.Errorf("the job of systemd has ended with %q", result))
	default:
		return reason.With(reason.TransactionFailed, fmt.Errorf("the install step has ended with %q: see journalctl -u %s", result, unit))
	}
	o, err := readOutcome(b.place.outcomes, job)
	if err != nil {
		return reason.With(reason.TransactionFailed, fmt.Errorf("cannot read how the install step has ended: %w: see journalctl -u %s", err, unit))
	}
	if o.Started != "" {
		b.Started(o.Started)
	}
	if no != nil && o.err() != nil {
		return no
	}
	return o.err()
}
