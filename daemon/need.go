// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/daemon/phase"
	"driverd/hwdetect"
	"driverd/plan"
)

// need is something that a job is to bring, and for which devices.
type need struct {
	key      ledger.Key
	packages []string
	named    []string // firmware that the drivers in them name
	asked    []string // firmware that the kernel has asked for in vain
	stays    []hwdetect.Stay
}

// needs are what devices wait for, in the order of their slots, each once.
func (e *Engine) needs(devices []*device) []need {
	var all []need
	add := func(n need, stay hwdetect.Stay) {
		i := slices.IndexFunc(all, func(other need) bool { return other.key == n.key })
		if i < 0 {
			i = len(all)
			all = append(all, n)
		}
		all[i].stays = append(all[i].stays, stay)
	}
	for _, d := range devices {
		switch d.next.Act {
		case phase.Install:
			add(need{key: ledger.Packages(d.want.Packages), packages: d.want.Packages, named: d.want.Firmware}, d.stay)
			if key := ledger.Packages(d.want.ForChildren); len(d.want.ForChildren) > 0 && !e.ledger.Get(key).Done() {
				add(need{key: key, packages: d.want.ForChildren}, d.stay) // else they are seen to when there are children
			}
		case phase.InstallForChildren:
			add(need{key: ledger.Packages(d.childPackages), packages: d.childPackages}, d.stay)
		case phase.BringFirmware:
			add(need{key: ledger.Firmware(d.missing), asked: d.missing}, d.stay)
		}
	}
	return all
}

// incompleteNeeds are packages that a driver has been loaded from before their
// transaction ended, which then failed: they are to be made whole in this boot. When
// the next try is due wake says.
func (e *Engine) incompleteNeeds(now time.Time) (due []need, wake time.Time) {
	for key, n := range e.incomplete {
		switch try := e.ledger.Get(key); {
		case try.Running() || len(e.config.Policy.NotHeld(n.packages)) < len(n.packages):
		case !try.Done() || try.Due(now, e.changes):
			due = append(due, n)
		case wake.IsZero() || !try.RetryAt.IsZero() && try.RetryAt.Before(wake):
			wake = try.RetryAt
		}
	}
	slices.SortFunc(due, func(a, b need) int { return slices.Compare(a.packages, b.packages) })
	return due, wake
}

// startForDevices starts one job for everything that devices wait for, and has the job
// at work serve the devices that need what it brings.
func (e *Engine) startForDevices(devices []*device, now time.Time) {
	if j := e.jobs.AtWork(); j != nil {
		e.join(j, devices)
		return
	}
	needs := e.needs(devices)
	incomplete, wake := e.incompleteNeeds(now)
	e.wakeAt(wake)
	for _, n := range incomplete {
		if !slices.ContainsFunc(needs, func(other need) bool { return other.key == n.key }) {
			needs = append(needs, n)
		}
	}
	if len(needs) == 0 {
		return
	}
	j := &jobs.Job{Kind: jobs.ForDevices, Origin: Hotplug}
	for _, n := range needs {
		if len(j.Tries) == 0 || e.goTogether(j, n) {
			e.take(j, n)
		}
	}
	e.run(e.jobs.Add(j, now))
}

// goTogether says whether a job may bring something more. Firmware that the kernel
// has asked for is looked for by itself; and packages whose transaction failed in
// company wait for one of their own.
func (e *Engine) goTogether(j *jobs.Job, n need) bool {
	return len(j.Files.Asked)+len(n.asked) == 0 && !e.ledger.Get(n.key).Alone &&
		!slices.ContainsFunc(j.Tries, func(k ledger.Key) bool { return e.ledger.Get(k).Alone })
}

// take has a job bring what is needed.
func (e *Engine) take(j *jobs.Job, n need) {
	j.Tries = append(j.Tries, n.key)
	j.Wanted = union(j.Wanted, n.packages)
	j.Packages = j.Wanted
	j.Files.Named = union(j.Files.Named, n.named)
	j.Files.Asked = union(j.Files.Asked, n.asked)
	for _, stay := range n.stays {
		j.Serve(stay)
	}
}

// join has a job serve the devices that came later, and need what it brings.
func (e *Engine) join(j *jobs.Job, devices []*device) {
	for _, d := range devices {
		if j.Active() && d.cancelled == "" && d.want.Action != plan.Nothing && !d.next.Settled() &&
			(slices.Contains(j.Tries, ledger.Packages(d.want.Packages)) || slices.Contains(j.Tries, ledger.Firmware(d.missing))) {
			j.Serve(d.stay)
		}
	}
}

// takeIn has a job that has not begun to install bring what devices need that came
// since it began, and says whether there is anything.
func (e *Engine) takeIn(j *jobs.Job) bool {
	if j.Kind != jobs.ForDevices || len(j.Files.Asked) > 0 || e.jobs.Next() != nil {
		return false
	}
	devices, more := e.sorted(), false
	for _, n := range e.needs(devices) {
		if e.goTogether(j, n) && e.ledger.Begin(n.key, j.Number, time.Now(), ledger.Try{}) {
			e.take(j, n)
			more = true
		}
	}
	return more
}

// union is what is in one of two sorted lists, sorted.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
