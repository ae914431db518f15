// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"slices"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/hwdetect"
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
	Action   string    `json:"action"` // "install", "reinstall", "download", "load", "set-mode", "enable-vendor" or "disable-vendor"
	Origin   string    `json:"origin"` // Hotplug, or who asked: "uid:0"
	Job      uint64    `json:"job,omitempty"`
	Packages []string  `json:"packages,omitempty"`
	Slots    []string  `json:"slots,omitempty"`
	State    JobState  `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
}

// KeptHistory is what is kept of the history.
type KeptHistory struct {
	Entries []Entry  // the oldest first
	Vendors []string // those whose drivers were enabled at the last look
}

// HistoryFile keeps the history across restarts.
type HistoryFile interface {
	// Load returns what was kept. What it cannot read it sets aside before it
	// returns the error: the next Save begins anew.
	Load() (KeptHistory, error)
	Save(KeptHistory) error
}

// history is what was done, the newest first.
type history struct {
	entries []Entry  // never changed: a new entry makes a new list
	vendors []string // those whose drivers were enabled at the last look; nil if that is not known
	unsaved bool
	saving  bool
	failing bool // the last Save was in vain, and the journal knows
}

// History returns what was done, the newest first, to be read only.
func (e *Engine) History(ctx context.Context) (entries []Entry, err error) {
	err = e.call(ctx, func() { entries = e.history.entries })
	return entries, err
}

// restoreHistory also finds the numbers that jobs had before: a client may still
// hold the path of one.
func (e *Engine) restoreHistory() {
	kept, err := e.HistoryFile.Load()
	if err == nil {
		e.history.vendors = append([]string{}, kept.Vendors...)
	} else {
		e.Log.Error().Str("event", "history-unreadable").Msgf("the history begins anew: %v", err)
	}
	e.history.entries = reversed(kept.Entries)
	for _, entry := range kept.Entries {
		e.jobs.Numbered(entry.Job)
	}
}

// note adds an entry. One that says again what the last one said takes its
// place: a repository that is away for a month makes one entry, not hundreds.
func (e *Engine) note(entry Entry) {
	h := &e.history
	entry.Time = time.Now()
	before := h.entries
	if len(before) > 0 && entry.State == JobFailed && entry.repeats(before[0]) {
		entry.Began = before[0].Began
		before = before[1:]
	}
	h.entries = slices.Concat([]Entry{entry}, before[:min(len(before), keptEntries-1)])
	e.changedHistory()
}

func (e Entry) repeats(last Entry) bool {
	return e.Action == last.Action && e.Origin == last.Origin && e.State == last.State && e.Reason == last.Reason &&
		slices.Equal(e.Packages, last.Packages) && slices.Equal(e.Slots, last.Slots)
}

// changedHistory has the history written.
func (e *Engine) changedHistory() {
	e.history.unsaved = true
	e.saveHistory()
}

// saveHistory writes the history outside the engine's goroutine. What is noted
// meanwhile is written after that, together.
func (e *Engine) saveHistory() {
	h := &e.history
	if h.saving || !h.unsaved {
		return
	}
	h.saving, h.unsaved = true, false
	latest := *h
	e.saves.Go(func() {
		err := e.HistoryFile.Save(latest.kept())
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
		e.savedHistory(e.HistoryFile.Save(h.kept()))
	}
}

func (h history) kept() KeptHistory { return KeptHistory{reversed(h.entries), h.vendors} }

func reversed(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	slices.Reverse(entries)
	return entries
}

// About returns the first few of the entries that are about a slot.
func About(slot hwdetect.Slot, entries []Entry) []Entry {
	var found []Entry
	for _, entry := range entries {
		if slices.Contains(entry.Slots, slot.String()) && len(found) < explainedEntries {
			found = append(found, entry)
		}
	}
	return found
}

// loadedByItself says whether a device that has its driver now has it from a load
// step of its own that no job asked for.
func (e *Engine) loadedByItself(d *device) bool {
	try := e.ledger.Get(ledger.Load(d.stay))
	return e.jobs.Serving(d.stay) == nil && try.Owner == 0 && !try.Began.IsZero()
}

// noteLoads makes one entry of all devices that have got their driver in one look, and
// needed no job for that.
func (e *Engine) noteLoads(loaded []*device) {
	if len(loaded) == 0 {
		return
	}
	entry := Entry{Action: "load", Origin: Hotplug, State: JobDone}
	for _, d := range loaded {
		entry.Slots = append(entry.Slots, d.Slot.String())
		if began := e.ledger.Get(ledger.Load(d.stay)).Began; entry.Began.IsZero() || began.Before(entry.Began) {
			entry.Began = began
		}
	}
	e.note(entry)
}

// noteJob notes a job that has ended, unless there was nothing to do.
func (e *Engine) noteJob(j *jobs.Job) {
	entry := Entry{
		Action: "install", Origin: j.Origin, Job: j.Number, Packages: j.Packages,
		Began: j.Began, State: j.State, Reason: string(j.Reason), Message: j.Message,
	}
	switch {
	case j.Kind == jobs.DownloadOnly:
		entry.Action = "download"
	case j.Kind == jobs.Interrupted:
		entry.Action = "reinstall"
	case len(j.Packages) == 0:
		entry.Action = "load"
	}
	for _, slot := range j.Devices {
		entry.Slots = append(entry.Slots, slot.String())
	}
	if j.State != JobDone || !j.Idle() {
		e.note(entry)
	}
}
