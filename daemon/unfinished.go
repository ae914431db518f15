// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// UnfinishedFile keeps across a power failure which packages were being installed,
// each with the id of the boot in which that was.
type UnfinishedFile interface {
	// Load returns nothing if nothing was ever kept. What it cannot read it sets
	// aside before it returns the error.
	Load() (map[string]string, error)
	Save(boots map[string]string) error
}

// unfinished is what may not be on the disk as the package database says: rpm waits
// for the disk with its database, not with files. What an earlier boot has left
// is installed again, once and for all; what is not installed, whoever needs it
// installs anyway.
type unfinished struct {
	boots map[string]string // by NEVRA
	redo  attempt           // to install again what an earlier boot has left
	job   *job              // that does, or did
}

func (e *Engine) restoreUnfinished() {
	boots, err := e.UnfinishedFile.Load()
	if err != nil {
		e.Log.Error().Str("event", "unfinished-unreadable").
			Msgf("if the guest went down in the middle of an installation, nobody knows any more: %v", err)
	}
	e.unfinished.boots = make(map[string]string)
	maps.Copy(e.unfinished.boots, boots)
}

// left lists what an earlier boot has left.
func (e *Engine) left() []string {
	var packages []string
	for nevra, boot := range e.unfinished.boots {
		if boot != e.Boot {
			packages = append(packages, nevra)
		}
	}
	slices.Sort(packages)
	return packages
}

// redo asks for the job that installs again what an earlier boot has left.
func (e *Engine) redo() {
	u := &e.unfinished
	packages := e.left()
	if len(packages) == 0 || u.job != nil && u.job.state != JobFailed || e.modeNow() != Auto {
		return
	}
	if u.job != nil && !e.mayRetry(u.redo) {
		return
	}
	e.Log.Warn().Str("event", "install-interrupted").Strs("packages", packages).
		Msgf("the guest went down before all of %s was on its disk: what is installed of it is installed again", strings.Join(packages, " "))
	u.redo.began = time.Now()
	u.job = e.newJob(&job{origin: Hotplug, packages: packages, again: true})
}

// redoes says whether the package of a device is being installed again.
func (e *Engine) redoes(r *record) bool {
	j := e.unfinished.job
	return j != nil && j.state == JobRunning && j.phase != PhaseLoad && r.isOf(j.packages)
}

// spoilt adds to the error of a load that its package may be the cause.
func (e *Engine) spoilt(r *record, err error) error {
	why := e.unfinished.redo.err
	if why == nil || !r.isOf(e.left()) {
		return err
	}
	return fmt.Errorf("%w; the guest went down before its package was on the disk, and it could not be installed again yet: %w", err, why)
}

// isOf says whether the device's driver is in one of these packages.
func (r *record) isOf(packages []string) bool {
	return slices.ContainsFunc(r.decision.Packages, func(nevra string) bool { return slices.Contains(packages, nevra) })
}

// endRedo notes how the job ended.
func (e *Engine) endRedo(j *job, err error) {
	u := &e.unfinished
	u.redo = ended(u.redo, j, err)
	if err == nil {
		for _, r := range e.records {
			r.forgetFailures()
		}
	}
}

// beginInstall keeps in mind what is about to be installed; it is called outside
// the engine's goroutine, as it waits for the disk.
func (e *Engine) beginInstall(coming []string) {
	e.keepUnfinished(func(boots map[string]string) {
		for _, nevra := range coming {
			if boots[nevra] == "" { // what an earlier boot has left is so until it is installed again
				boots[nevra] = e.Boot
			}
		}
	})
}

// endInstall forgets what is on the disk now. That a package is installed does not
// say so of one that an earlier boot has left, unless it was installed again.
func (e *Engine) endInstall(packages []string, again bool) {
	e.keepUnfinished(func(boots map[string]string) {
		maps.DeleteFunc(boots, func(nevra, boot string) bool {
			return slices.Contains(packages, nevra) && (again || boot == e.Boot)
		})
	})
}

// keepUnfinished changes what is unfinished, and keeps it.
func (e *Engine) keepUnfinished(change func(boots map[string]string)) {
	var boots map[string]string
	changed := false
	if err := e.call(e.ctx, func() {
		before := maps.Clone(e.unfinished.boots)
		change(e.unfinished.boots)
		boots = maps.Clone(e.unfinished.boots)
		changed = !maps.Equal(before, boots)
	}); err != nil || !changed {
		return
	}
	if err := e.UnfinishedFile.Save(boots); err != nil {
		e.Log.Error().Str("event", "unfinished-not-kept").Msgf("what a power failure would spoil now stays spoilt: %v", err)
	}
}
