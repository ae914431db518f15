// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"slices"
	"time"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

const (
	// keptEntries is how many entries of the history are kept, the newest.
	keptEntries = 1000
	// explainedEntries is how many an explanation of a device shows.
	explainedEntries = 10
)

// Entry is one thing that was done.
type Entry struct {
	Time     time.Time `json:"time"` // of its end
	Began    time.Time `json:"began"`
	Action   string    `json:"action"` // "install", "reinstall", "download", "load" or "set-mode"
	Origin   string    `json:"origin"` // Hotplug, or who asked: "uid:0"
	Job      uint64    `json:"job,omitempty"`
	Packages []string  `json:"packages,omitempty"`
	Slots    []string  `json:"slots,omitempty"`
	State    JobState  `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
}

// Hotplug is the origin of what the engine does by itself.
const Hotplug = "hotplug"

// HistoryFile keeps the history across restarts.
type HistoryFile interface {
	// Load returns the entries, the oldest first. What it cannot read it sets
	// aside before it returns the error: the next Save begins anew.
	Load() ([]Entry, error)
	Save([]Entry) error
}

// history is what was done, the oldest first.
type history struct {
	entries []Entry
	unsaved bool
	saving  bool
	failing bool // the last Save was in vain, and the journal knows

	loads Entry // of the look that is going on
}

// History returns what was done, the newest first.
func (e *Engine) History(ctx context.Context) (entries []Entry, err error) {
	err = e.call(ctx, func() { entries = slices.Clone(e.history.entries) })
	slices.Reverse(entries)
	return entries, err
}

// restoreHistory also finds the numbers that jobs had before: a client may still
// hold the path of one.
func (e *Engine) restoreHistory() {
	entries, err := e.HistoryFile.Load()
	if err != nil {
		e.Log.Error().Str("event", "history-unreadable").Msgf("the history begins anew: %v", err)
	}
	e.history.entries = entries
	for _, entry := range entries {
		e.lastJob = max(e.lastJob, entry.Job)
	}
}

// note adds an entry. One that says again what the last one said takes its
// place: a repository that is away for a month makes one entry, not hundreds.
func (e *Engine) note(entry Entry) {
	h := &e.history
	entry.Time = time.Now()
	if n := len(h.entries); n > 0 && entry.State == JobFailed && entry.repeats(h.entries[n-1]) {
		entry.Began = h.entries[n-1].Began
		h.entries = h.entries[:n-1]
	}
	h.entries = append(h.entries, entry)
	h.entries = slices.Clone(h.entries[max(0, len(h.entries)-keptEntries):]) // a Save reads the old ones
	h.unsaved = true
	e.saveHistory()
}

func (e Entry) repeats(last Entry) bool {
	return e.Action == last.Action && e.Origin == last.Origin && e.State == last.State && e.Reason == last.Reason &&
		slices.Equal(e.Packages, last.Packages) && slices.Equal(e.Slots, last.Slots)
}

// saveHistory writes the history outside the engine's goroutine. What is noted
// meanwhile is written after that, together.
func (e *Engine) saveHistory() {
	h := &e.history
	if h.saving || !h.unsaved {
		return
	}
	h.saving, h.unsaved = true, false
	entries := h.entries
	e.saves.Go(func() {
		err := e.HistoryFile.Save(entries)
		e.post(func() {
			again := h.unsaved
			h.saving = false
			e.savedHistory(err)
			if again {
				e.saveHistory()
			}
		})
	})
}

// savedHistory reports the first of several failures: the next entry is the
// next try.
func (e *Engine) savedHistory(err error) {
	h := &e.history
	if err != nil && !h.failing {
		e.Log.Error().Str("event", "history-not-kept").Msgf("the history will not survive a restart: %v", err)
	}
	h.failing = err != nil
	h.unsaved = h.unsaved || h.failing
}

// closeHistory writes what is not written yet, at the end of Run.
func (e *Engine) closeHistory() {
	e.saves.Wait()
	if h := &e.history; h.unsaved || h.saving {
		e.savedHistory(e.HistoryFile.Save(h.entries))
	}
}

// About returns the last of the entries that are about a slot, the newest first.
func About(slot hwdetect.Slot, entries []Entry) []Entry {
	var found []Entry
	for _, entry := range slices.Backward(entries) {
		if slices.Contains(entry.Slots, slot.String()) && len(found) < explainedEntries {
			found = append(found, entry)
		}
	}
	return found
}

// noteLoad remembers a device that has just become bound and needed no job for
// that: noteLoads makes one entry of all that did in one look.
func (e *Engine) noteLoad(r *record) {
	if r.state == plan.Bound || r.job != nil || r.load.job != 0 || r.load.began.IsZero() {
		return
	}
	l := &e.history.loads
	l.Slots = append(l.Slots, r.device.Slot.String())
	if l.Began.IsZero() || r.load.began.Before(l.Began) {
		l.Began = r.load.began
	}
}

func (e *Engine) noteLoads() {
	l := e.history.loads
	e.history.loads = Entry{}
	if len(l.Slots) > 0 {
		l.Action, l.Origin, l.State = "load", Hotplug, JobDone
		e.note(l)
	}
}

// noteJob notes a job that has ended, unless there was nothing to do.
func (e *Engine) noteJob(j *job) {
	entry := Entry{
		Action: "install", Origin: j.origin, Job: j.number, Packages: j.packages,
		Began: j.began, State: j.state, Reason: string(j.reason), Message: j.message,
	}
	switch {
	case j.downloadOnly:
		entry.Action = "download"
	case j.again:
		entry.Action = "reinstall"
	case len(j.packages) == 0:
		entry.Action = "load"
	}
	for _, slot := range j.slots {
		entry.Slots = append(entry.Slots, slot.String())
	}
	if j.state != JobDone || !j.idle() {
		e.note(entry)
	}
}

// reasonOf is the reason of a failed transaction, which always has one.
func reasonOf(err error) reason.Reason {
	if why := reason.Of(err); why != reason.None {
		return why
	}
	return reason.TransactionFailed
}
