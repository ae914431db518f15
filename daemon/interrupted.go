// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
)

// UnfinishedFile keeps across a power failure which packages were being installed,
// each with the id of the boot in which that was.
type UnfinishedFile interface {
	// Load returns nothing if nothing was ever kept. What it cannot read it sets
	// aside before it returns the error.
	Load() (map[string]string, error)
	Save(boots map[string]string) error
}

// interrupted knows what may not be on the disk as the package database says: rpm
// waits for the disk with its database, not with files. What an earlier boot has left
// it has installed again, once and for all; what is not installed, whoever needs it
// installs anyway.
type interrupted struct {
	engine   *Engine
	keeping  sync.Mutex        // held while it is kept
	boots    map[string]string // by NEVRA
	told     bool              // the journal knows of what an earlier boot has left
	awaiting bool              // whether steps of a service before this one, in this boot, have ended is not known yet
}

func (i *interrupted) restore() {
	boots, err := i.engine.UnfinishedFile.Load()
	if err != nil {
		i.engine.Log.Error().Str("event", "unfinished-unreadable").
			Msgf("if the guest went down in the middle of an installation, nobody knows any more: %v", err)
	}
	i.boots = make(map[string]string)
	maps.Copy(i.boots, boots)
	i.awaitEarlier()
}

// awaitEarlier forgets what is on the disk when the steps have ended that a service before
// this one has started in this boot.
func (i *interrupted) awaitEarlier() {
	e := i.engine
	i.awaiting = slices.Contains(slices.Collect(maps.Values(i.boots)), e.Boot)
	if !i.awaiting {
		return
	}
	e.start(
		func(ctx context.Context) error {
			installed, err := e.Backend.InstalledEarlier(ctx)
			i.end(installed, false)
			return err
		},
		func(err error) {
			i.awaiting = false
			if err != nil {
				e.Log.Debug().Err(err).Msg("it is not known what the steps of an earlier service have installed")
			}
		})
}

// left lists what an earlier boot has left.
func (i *interrupted) left() []string {
	var packages []string
	for nevra, boot := range i.boots {
		if boot != i.engine.Boot {
			packages = append(packages, nevra)
		}
	}
	slices.Sort(packages)
	return packages
}

// Why what an earlier boot has left is not installed again.
var (
	errHeld      = errors.New("the configuration says that it must not be installed")
	errObserving = errors.New("driverd only observes")
)

// standing says, of packages that an earlier boot has left, whether they are being
// installed again or about to be, and if not, why that could not be done.
func (i *interrupted) standing(packages []string) (reinstalling bool, damaged error) {
	e := i.engine
	switch try := e.ledger.Get(ledger.Reinstall(i.allowed())); {
	case try.Running():
		return true, nil
	case len(e.config.Policy.NotHeld(packages)) < len(packages):
		return false, errHeld
	case e.modeNow() != Auto:
		return false, errObserving
	default:
		return !try.Done(), try.Err
	}
}

// allowed lists what an earlier boot has left and may be installed again.
func (i *interrupted) allowed() []string { return i.engine.config.Policy.NotHeld(i.left()) }

// Step has what an earlier boot has left installed again, and returns when it has to
// be called again.
func (i *interrupted) Step(now time.Time) (wake time.Time) {
	e, packages := i.engine, i.allowed()
	if len(packages) == 0 || e.modeNow() != Auto || e.jobs.AtWork() != nil {
		return time.Time{}
	}
	key := ledger.Reinstall(packages)
	if try := e.ledger.Get(key); try.Done() && !try.Due(now, e.changes) {
		return try.RetryAt
	}
	if !i.told {
		e.Log.Warn().Str("event", "install-interrupted").Strs("packages", packages).
			Msgf("the guest went down before all of %s was on its disk: what is installed of it is installed again", strings.Join(packages, " "))
		i.told = true
	}
	e.run(e.jobs.Add(&jobs.Job{
		Kind: jobs.Interrupted, Origin: Hotplug, Status: Job{Packages: packages}, Wanted: packages, Tries: []ledger.Key{key},
	}, now))
	return time.Time{}
}

// begin keeps in mind what is about to be installed; it is called outside the
// engine's goroutine, as it waits for the disk.
func (i *interrupted) begin(coming []string) {
	i.keep(func(boots map[string]string) {
		for _, nevra := range coming {
			if boots[nevra] == "" { // what an earlier boot has left is so until it is installed again
				boots[nevra] = i.engine.Boot
			}
		}
	})
}

// end forgets what is on the disk now. That a package is installed does not say so of
// one that an earlier boot has left, unless it was installed again.
func (i *interrupted) end(packages []string, again bool) {
	i.keep(func(boots map[string]string) {
		maps.DeleteFunc(boots, func(nevra, boot string) bool {
			return slices.Contains(packages, nevra) && (again || boot == i.engine.Boot)
		})
	})
}

// keep changes what is unfinished, and keeps it.
func (i *interrupted) keep(change func(boots map[string]string)) {
	i.keeping.Lock()
	defer i.keeping.Unlock()
	e := i.engine
	var boots map[string]string
	changed := false
	if err := e.call(e.ctx, func() {
		before := maps.Clone(i.boots)
		change(i.boots)
		boots = maps.Clone(i.boots)
		changed = !maps.Equal(before, boots)
	}); err != nil || !changed {
		return
	}
	if err := e.UnfinishedFile.Save(boots); err != nil {
		e.Log.Error().Str("event", "unfinished-not-kept").Msgf("what a power failure would spoil now stays spoilt: %v", err)
	}
}
