// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// progressTime is how often the progress of a phase is published at most: rpm tells
// of every few kilobytes, and each view is one of the whole world.
const progressTime = 250 * time.Millisecond

// job is one transaction: for all devices that wait for a package, or for what
// somebody asked for. One is at work at a time: package managers lock, and a
// second one would only wait.
type job struct {
	number       uint64
	origin       string // Hotplug, or who asked
	packages     []string
	files        files           // of firmware that it is to bring, if the guest lacks them
	firmware     []string        // packages of these, among its packages
	lacks        string          // what firmware it goes without, and why
	slots        []hwdetect.Slot // of the devices that it is for, as they were
	records      []*record       // that wait for it
	mixed        bool            // its devices do not all want the same packages
	unpacked     []string        // of its packages, those whose files are on the disk
	downloadOnly bool
	again        bool       // its packages are installed, and may be spoilt
	next         *successor // that the packages are for; nil for the running kernel

	state                 JobState
	phase                 Phase
	progress              float64
	bytesDone, bytesTotal int64
	reason                reason.Reason
	message               string
	began, ended          time.Time
	shown                 time.Time // when its progress was last published

	stop      context.CancelCauseFunc // ends the backend's work; nil before that began
	committed bool                    // the rpm transaction may have begun
	loads     bool                    // there were drivers to load
}

// stepInstall moves on a device whose packages are missing. Those that only
// wait are taken along by the next startJob.
func (e *Engine) stepInstall(r *record) {
	unpacked := e.unpacked(r)
	if unpacked {
		r.mark("unpacked")
	}
	switch a := r.install; {
	case r.load.running:
		e.become(r, plan.Loading, "", "")
	case unpacked && !r.load.early && e.mayLoad(r):
		e.startLoad(r, true)
	case a.running:
		e.become(r, plan.Installing, "", "")
	case a.ended.IsZero():
		e.become(r, plan.Pending, "", "")
	case a.err == nil:
		e.stepLoad(r) // a scriptlet was cut short; the load step can do without depmod
	case e.mayRetry(a):
		r.install = attempt{tries: a.tries}
		e.become(r, plan.Pending, "", "")
	default:
		e.fail(r, a.err)
	}
}

// startJob starts the next transaction: what was asked for first, then one for
// everything that waits for one.
func (e *Engine) startJob() {
	if e.job != nil {
		return
	}
	i := slices.IndexFunc(e.jobs, func(j *job) bool { return j.phase == PhaseWaiting && j.state == JobRunning })
	if i >= 0 {
		e.run(e.jobs[i])
	} else if j := e.gather(); j != nil {
		e.run(e.newJob(j))
	}
}

// gather makes one job of everything that waits for a package. A device whose
// transaction failed in company waits for one of its own packages alone.
func (e *Engine) gather() *job {
	j := &job{origin: Hotplug}
	for _, r := range e.sorted() {
		if !r.waits() || r.install.running || !r.install.ended.IsZero() || r.cancelled != "" {
			continue
		}
		if r.mends() {
			if len(j.packages) == 0 {
				j.add(r)
				j.files.asked = append(j.files.asked, r.mend...)
			}
			continue
		}
		if len(j.files.asked) > 0 {
			continue
		}
		if len(j.records) > 0 && !slices.Equal(r.missing(), j.records[0].missing()) {
			if r.install.alone || j.records[0].install.alone {
				continue
			}
			j.mixed = true
		}
		j.add(r)
		j.packages = append(j.packages, r.missing()...)
		j.files.named = append(j.files.named, r.decision.Firmware...)
	}
	if len(j.records) == 0 {
		return nil
	}
	for _, all := range []*[]string{&j.packages, &j.files.named, &j.files.asked} {
		slices.Sort(*all)
		*all = slices.Compact(*all)
	}
	return j
}

// add makes a device one that the job is for.
func (j *job) add(r *record) {
	j.records = append(j.records, r)
	j.slots = append(j.slots, r.device.Slot)
}

// waits says whether a device waits for a package.
func (r *record) waits() bool {
	return r.decision.Action == plan.Install || r.mends() || r.install.owed != nil
}

// missing are the packages that a device waits for.
func (r *record) missing() []string {
	if r.install.owed != nil {
		return r.install.owed
	}
	return r.decision.Packages
}

// retryOwed tries again to install the package of a device whose driver was
// loaded from it before it was whole.
func (e *Engine) retryOwed(r *record) {
	switch a := r.install; {
	case a.running || a.ended.IsZero():
	case e.mayRetry(a):
		r.install = attempt{owed: a.owed, tries: a.tries}
	}
}

// run has the backend do a job.
func (e *Engine) run(j *job) {
	ctx, stop := context.WithCancelCause(e.ctx)
	e.job, j.stop, j.phase = j, stop, PhaseResolve
	for _, r := range j.records {
		if r.waits() {
			r.install = attempt{running: true, job: j.number, began: time.Now(), tries: r.install.tries, owed: r.install.owed}
			if r.install.owed == nil {
				e.become(r, plan.Installing, "", "")
			}
		}
	}
	doing := "installing"
	if j.downloadOnly {
		doing = "downloading"
	}
	e.Log.Info().Str("event", "job-started").Strs("packages", j.packages).Msgf("%s %s", doing, strings.Join(slices.Concat(j.packages, j.files.asked), " "))
	release, catalog := e.Release, e.catalog.known
	if j.next != nil {
		release, catalog = j.next.Release, j.next.catalog
	}
	var coming []string
	t := dnfbridge.Transaction{
		Into:    filepath.Join("/lib/modules", release),
		Install: j.packages, Allowed: e.config.Policy.NotHeld(catalog.NEVRAs()), DownloadOnly: j.downloadOnly, Again: j.again,
		Commit: func(nevras []string) error {
			coming = nevras
			return e.commit(j, nevras)
		},
	}
	policy := e.config.Policy
	e.start(
		func(context.Context) error {
			lacks, err := e.withFirmware(ctx, t, j.files, policy, func(t dnfbridge.Transaction, firmware []string) error {
				e.post(func() { j.packages, j.firmware = t.Install, firmware })
				return e.Backend.Install(ctx, t, func(p dnfbridge.Progress) { e.post(func() { e.progressed(j, p) }) })
			})
			if lacks != nil {
				e.post(func() { e.goWithout(j, lacks) })
			}
			if err == nil && !t.DownloadOnly {
				e.endInstall(slices.Concat(t.Install, coming), t.Again)
			}
			return err
		},
		func(err error) { e.finishJob(j, err) })
}

// progressed notes how far the transaction is, on the timelines of its devices.
func (e *Engine) progressed(j *job, p dnfbridge.Progress) {
	if j.state != JobRunning {
		return // cancelled, and the backend does not know it yet
	}
	phase := j.phase
	j.follow(p)
	for _, r := range j.records {
		switch p.Phase {
		case dnfbridge.PhaseDownload:
			r.mark("resolved")
		case dnfbridge.PhaseInstall:
			r.mark("resolved")
			r.mark("downloaded")
		}
	}
	if p.Phase == dnfbridge.PhaseUnpacked {
		j.unpacked = append(j.unpacked, p.Package)
		e.look()
		return
	}
	if j.phase != phase || time.Since(j.shown) >= progressTime {
		j.shown = time.Now()
		e.shows.put(e.view())
	}
}

func (e *Engine) finishJob(j *job, err error) {
	e.job = nil
	e.used()
	j.stop(nil)
	if j.state != JobRunning {
		return // cancelled
	}
	if err == nil {
		e.Log.Info().Str("event", "job-done").Strs("packages", j.packages).Msg(j.summary())
	} else {
		e.Log.Warn().Str("event", "job-failed").Strs("packages", j.packages).Str("reason", string(reason.Of(err))).Msg(err.Error())
	}
	for _, r := range j.records {
		if !r.install.running {
			continue
		}
		if r.mend != nil {
			r.endMend(err)
			continue
		}
		a := ended(r.install, j, err)
		switch {
		case err == nil:
			r.mark("unpacked")
		case j.mixed && ofOnePackage(reason.Of(err)):
			a = attempt{alone: true, tries: r.install.tries} // and goes on by itself
		case !a.retryAt.IsZero() && r.state == plan.Bound:
			a.owed = j.packages
		}
		r.install = a
	}
	if j.again {
		e.endRedo(j, err)
	}
	if j.next != nil && err != nil {
		j.next.retryLater()
	}
	if reason.Of(err) == reason.NoPackage {
		e.catalog.refreshAt = time.Now() // the repositories are not what they were
	}
	if err == nil {
		j.phase, j.progress = PhaseLoad, installed
	} else {
		e.endJob(j, JobFailed, reasonOf(err), err.Error())
	}
}

// ended is an attempt that a job was, at its end.
func ended(a attempt, j *job, err error) attempt {
	a = attempt{job: j.number, began: a.began, ended: time.Now(), err: err, tries: a.tries + 1}
	if err != nil && mayPass(reason.Of(err)) {
		a.retryAt = a.ended.Add(backoff(a.tries))
	}
	return a
}

// mayRetry says whether an attempt that has failed is to be repeated now; if it is only
// later, the engine is awake then.
func (e *Engine) mayRetry(a attempt) bool {
	if !a.retryAt.IsZero() {
		e.wakeAt(a.retryAt)
	}
	return !a.retryAt.IsZero() && !time.Now().Before(a.retryAt) || e.overtaken(a.began, a.err)
}

// mayPass says whether a transaction may go well later without anybody having done
// anything for it. polkit says no, too, while it is restarted.
func mayPass(why reason.Reason) bool {
	return plan.StateOf(why) == plan.Unavailable || why == reason.TransactionFailed || why == reason.NotAuthorized
}

// ofOnePackage says whether a transaction may have failed because of one of its
// packages, so that the others would do without it.
func ofOnePackage(why reason.Reason) bool {
	switch why {
	case reason.NoPackage, reason.TransactionRefused, reason.TransactionFailed, reason.UntrustedPackage:
		return true
	}
	return false
}

// backoff is how long to wait after so many tries: half a minute, doubled each
// time, an hour at most, and up to a fifth more, so that a fleet that failed
// together does not come back together.
func backoff(tries int) time.Duration {
	d := min(30*time.Second<<min(tries-1, 10), time.Hour)
	return d + rand.N(d/5)
}
