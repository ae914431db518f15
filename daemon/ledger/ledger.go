// SPDX-License-Identifier: Apache-2.0

// Package ledger remembers what was tried, by the thing that was tried, and says
// when it may be tried again. It does no I/O and asks no clock.
package ledger

import (
	"errors"
	"slices"
	"strings"
	"time"

	"driverd/hwdetect"
	"driverd/reason"
)

// Key is a thing that can be tried. Who needs the same thing has the same key.
type Key struct {
	kind string
	what string
	stay hwdetect.Stay
}

// kindLoad is the kind that is asked for.
const kindLoad = "load"

// Packages is the key of installing a set of packages.
func Packages(nevras []string) Key { return Key{kind: "packages", what: set(nevras)} }

// Reinstall is the key of installing again packages that are not whole.
func Reinstall(nevras []string) Key { return Key{kind: "reinstall", what: set(nevras)} }

// Firmware is the key of bringing a set of files.
func Firmware(files []string) Key { return Key{kind: "firmware", what: set(files)} }

// Load is the key of the load step for one stay of a device.
func Load(stay hwdetect.Stay) Key { return Key{kind: kindLoad, stay: stay} }

// Children is the key of the load step for the children of one stay of a device.
func Children(stay hwdetect.Stay) Key { return Key{kind: "children", stay: stay} }

// Offers is the asking for vendors' drivers for a kernel.
func Offers(release string) Key { return Key{kind: "catalog", what: "offers " + release} }

// Catalog is the key of learning the packages of a kernel.
func Catalog(release string) Key { return Key{kind: "catalog", what: release} }

// set is the same text for the same set.
func set(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	words = slices.Sorted(slices.Values(words))
	return strings.Join(slices.Compact(words), " ")
}

// Try is what is remembered about a thing: its last try. The zero value stands for
// a thing that was never tried.
type Try struct {
	Owner    uint64    // number of the job that began it, 0 if none did
	Began    time.Time // zero if it was never tried, or may be tried anew
	Ended    time.Time // zero if it has not
	Err      error     // nil if it went well
	Failures int       // in succession
	RetryAt  time.Time // zero if time does not help

	// Alone says that a transaction for this and other packages failed because of
	// one of them: they are tried one by one.
	Alone bool

	// Modules are those of a load step. A device whose modules are others by now has
	// not been tried.
	Modules []string
	// Children are the identities of those that a load step was for, and the ones
	// before it since the modules on the disk have changed.
	Children []string
	// Early says that a load step began before the transaction that brings its
	// module has ended: its failure means nothing.
	Early bool
	// Loaded says that, when the load step ended, the kernel had all of the modules.
	Loaded bool
	// Chance is the last load step, this one or one before it, that gave its modules
	// their chance: they were loaded, and none of them took the device. Nil if none did.
	Chance *Try
}

// Running says whether the try has begun and not ended.
func (t Try) Running() bool { return !t.Began.IsZero() && t.Ended.IsZero() }

// Done says whether the try has begun and ended.
func (t Try) Done() bool { return !t.Ended.IsZero() }

// Failed says whether the try has ended with an error.
func (t Try) Failed() bool { return t.Done() && t.Err != nil }

// Due says whether a failed try may be repeated now: its time has come, or what it
// failed for has changed since it began.
func (t Try) Due(now time.Time, c Changes) bool {
	if !t.Failed() {
		return false
	}
	return !t.RetryAt.IsZero() && !now.Before(t.RetryAt) || c.Overtake(t)
}

// Ledger holds the tries.
type Ledger struct{ tries map[Key]Try }

// New returns an empty ledger.
func New() *Ledger { return &Ledger{make(map[Key]Try)} }

// Get returns the last try of a thing, the zero Try if there is none.
func (l *Ledger) Get(k Key) Try { return l.tries[k] }

// Begin notes that owner begins to try a thing, and says false if somebody else is
// trying it. How a load step is tried, t says.
func (l *Ledger) Begin(k Key, owner uint64, now time.Time, t Try) bool {
	last := l.tries[k]
	if last.Running() {
		return false
	}
	t.Owner, t.Began, t.Failures, t.Alone, t.Chance = owner, now, last.Failures, last.Alone, last.Chance
	l.tries[k] = t
	return true
}

// End notes how a try has ended. Only who began it ends it: for anybody else it
// does nothing, and says false.
func (l *Ledger) End(k Key, owner uint64, now time.Time, err error) bool {
	t := l.tries[k]
	if !t.Running() || t.Owner != owner {
		return false
	}
	t.Ended, t.Err, t.Alone = now, err, false
	if err == nil {
		t.Failures = 0
	} else {
		t.Failures++
		if RetryOf(err).InTime {
			t.RetryAt = now.Add(backoff(t.Failures))
		}
	}
	l.tries[k] = t
	return true
}

// EndLoad is End for a load step; loaded says whether the kernel had all of its modules.
func (l *Ledger) EndLoad(k Key, owner uint64, now time.Time, err error, loaded bool) {
	if l.End(k, owner, now, err) {
		t := l.tries[k]
		t.Loaded = loaded
		if !t.Early && gaveChance(err) {
			t.Chance = nil
			chance := t
			t.Chance = &chance
		}
		l.tries[k] = t
	}
}

// gaveChance says whether a load step that ended so had loaded a driver that could take
// the device. Where it was denied, or lacks firmware, another driver is no way out.
func gaveChance(err error) bool {
	return err == nil || reason.Of(err) == reason.ProbeFailed && !errors.Is(err, reason.ErrNotStarted)
}

// Withdraw takes a try back, as if its owner had never begun it. Alone says that
// the next one is to be about this thing and no other.
func (l *Ledger) Withdraw(k Key, owner uint64, alone bool) {
	if t := l.tries[k]; t.Running() && t.Owner == owner {
		l.tries[k] = Try{Failures: t.Failures, Alone: alone}
	}
}

// Copy has what was tried count as a try of something else as well.
func (l *Ledger) Copy(from, to Key) { l.tries[to] = l.tries[from] }

// Clean says whether nothing is remembered that a ledger without any tries would not make up
// for at once: no try runs, and none of what is still needed has failed or left a device
// without its driver.
func (l *Ledger) Clean(needed []Key) bool {
	for _, t := range l.tries {
		if t.Running() {
			return false
		}
	}
	return !slices.ContainsFunc(needed, func(k Key) bool {
		t := l.tries[k]
		return t.Failed() || k.kind == kindLoad && t.Done()
	})
}

// Forget lets a thing be tried as if it never had been. A try that runs goes on.
func (l *Ledger) Forget(k Key) {
	if !l.tries[k].Running() {
		delete(l.tries, k)
	}
}

// ForgetAll forgets everything that does not run.
func (l *Ledger) ForgetAll() {
	for k := range l.tries {
		l.Forget(k)
	}
}
