// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/dnfbridge"
	"driverd/plan"
	"driverd/reason"
)

// progressTime is how often the progress of a phase is published at most: rpm tells
// of every few kilobytes, and each view is one of the whole world.
const progressTime = 250 * time.Millisecond

// errTakesIn is what a transaction ends with that is to be a larger one: devices came
// before its last moment.
var errTakesIn = errors.New("there is more to install")

// run has the backend do a job.
func (e *Engine) run(j *jobs.Job) {
	ctx, stop := context.WithCancelCause(e.ctx)
	e.jobs.Start(j, stop)
	for _, key := range j.Tries {
		e.ledger.Begin(key, j.Number, time.Now(), ledger.Try{})
	}
	doing := "installing"
	if j.Kind == jobs.DownloadOnly {
		doing = "downloading"
	}
	e.Log.Info().Str("event", "job-started").Strs("packages", j.Packages).Msgf("%s %s", doing, strings.Join(slices.Concat(j.Packages, j.Files.Asked), " "))
	catalog, offers := e.catalog, e.offers
	if j.Kind == jobs.ForNextKernel {
		catalog, offers = e.nextKernel.catalog, e.nextKernel.offers
	}
	w := &work{engine: e, job: j, offers: offers, files: j.Files, policy: e.config.Policy, transaction: dnfbridge.Transaction{
		Install:      j.Wanted,
		Allowed:      e.config.Policy.NotHeld(catalog.known.NEVRAs()),
		DownloadOnly: j.Kind == jobs.DownloadOnly,
		Reinstall:    j.Kind == jobs.Interrupted,
		Asked:        j.Origin != Hotplug || e.mode == Auto,
	}}
	if j.Kind == jobs.Interrupted {
		w.transaction.Others = notAmong(catalog.known.NEVRAs(), j.Wanted)
	}
	offers.transaction(&w.transaction)
	w.transaction.Commit = func(coming []string) error { return w.commit(ctx, coming) }
	e.start(
		func(context.Context) error { return withReason(reason.TransactionFailed, w.do(ctx)) },
		func(err error) {
			if err == nil && j.Kind != jobs.DownloadOnly {
				offers.installed(j.Wanted)
			}
			if reason.Of(err) == reason.TransactionRefused {
				offers.forget() // the step has looked by itself, and there may be newer ones
			}
			e.finish(j, catalog, err)
		})
}

// notAmong are the packages that are not of a kernel, whose packages are these: they
// may be firmware.
func notAmong(ofKernel, nevras []string) map[string][]string {
	others := make(map[string][]string)
	for _, nevra := range nevras {
		if !slices.Contains(ofKernel, nevra) {
			others[nevra] = nil
		}
	}
	return others
}

// work is what is done for a job outside the engine's goroutine.
type work struct {
	engine      *Engine
	job         *jobs.Job
	offers      *offers // of the kernel that it is for
	transaction dnfbridge.Transaction
	files       jobs.Files
	policy      plan.Policy
	coming      []string // what it installs, dependencies among it
}

// do runs the transaction, and a larger one as often as devices come meanwhile.
func (w *work) do(ctx context.Context) error {
	e, j := w.engine, w.job
	install := func(t dnfbridge.Transaction, firmware []string) error {
		e.post(func() { j.Packages, j.Firmware = t.Install, firmware })
		return e.Backend.Install(ctx, t, func(p dnfbridge.Progress) { e.post(func() { e.progressed(j, p) }) })
	}
	lacks, err := e.withFirmware(ctx, w.transaction, w.files, w.policy, install)
	for errors.Is(err, errTakesIn) {
		if err := e.call(e.ctx, func() { w.transaction.Install, w.files = j.Wanted, j.Files; w.offers.transaction(&w.transaction) }); err != nil {
			return err
		}
		lacks, err = e.withFirmware(ctx, w.transaction, w.files, w.policy, install)
	}
	if lacks != nil {
		e.post(func() { e.goWithout(j, lacks) })
	}
	switch {
	case err == nil && !w.transaction.DownloadOnly:
		e.interrupted.end(slices.Concat(w.transaction.Install, w.coming), w.transaction.Reinstall)
	case errors.Is(err, jobs.ErrCancelled):
		e.interrupted.end(w.coming, false) // which has not begun to come
	}
	return err
}

// commit is the last moment at which the job can be cancelled, or take devices in:
// everything is downloaded and nothing is installed yet.
func (w *work) commit(ctx context.Context, coming []string) (err error) {
	e, j := w.engine, w.job
	w.coming = coming
	gone := e.call(e.ctx, func() {
		switch {
		case !j.Active():
			err = jobs.ErrCancelled
		case e.takeIn(j):
			err = errTakesIn
		default:
			j.Commit()
			e.markAll(j, "downloaded")
			e.prepareLoads(ctx, j, coming)
		}
	})
	if err = errors.Join(gone, err); err == nil {
		e.interrupted.begin(coming)
	}
	return err
}

// markAll notes a step on the timelines of the devices of a job.
func (e *Engine) markAll(j *jobs.Job, step string) {
	for _, stay := range j.Stays() {
		if d := e.present(stay); d != nil {
			d.mark(step)
		}
	}
}

// progressed notes how far a transaction is.
func (e *Engine) progressed(j *jobs.Job, p dnfbridge.Progress) {
	if !j.Active() {
		return // cancelled, and the backend does not know it yet
	}
	last := j.Phase
	switch p.Phase {
	case dnfbridge.PhaseResolve:
		j.Follow(jobs.Resolve, p.BytesDone, p.BytesTotal, p.Fraction)
	case dnfbridge.PhaseDownload:
		j.Follow(jobs.Download, p.BytesDone, p.BytesTotal, p.Fraction)
		e.markAll(j, "resolved")
	default:
		j.Follow(jobs.Install, p.BytesDone, p.BytesTotal, p.Fraction)
		if p.Phase == dnfbridge.PhaseInstall {
			e.markAll(j, "resolved")
			e.markAll(j, "downloaded")
		}
	}
	if p.Phase == dnfbridge.PhaseUnpacked {
		j.Unpacked = append(j.Unpacked, p.Package)
		e.look()
		return
	}
	if j.Phase != last || time.Since(e.progressShown) >= progressTime {
		e.progressShown = time.Now()
		e.publisher.put(e.view())
	}
}

// finish notes the end of a job's transaction.
func (e *Engine) finish(j *jobs.Job, catalog *catalog, err error) {
	now := time.Now()
	e.jobs.Finished()
	e.idleBackend.used(now)
	if !j.Active() {
		return // cancelled
	}
	_ = e.readModules(now) // what the transaction has changed did not change since; a problem is told by the look
	for _, key := range j.Tries {
		e.endTry(j, key, now, err)
	}
	if reason.Of(err) == reason.NoPackage {
		catalog.refresh(now) // the repositories are not what they were
	}
	if err != nil {
		e.Log.Warn().Str("event", "job-failed").Strs("packages", j.Packages).Str("reason", string(reason.Of(err))).Msg(err.Error())
		e.endJob(j, JobFailed, reason.Of(err), err.Error())
		return
	}
	e.Log.Info().Str("event", "job-done").Strs("packages", j.Packages).Msg(j.Summary())
	j.Loading()
	if j.Kind == jobs.Interrupted {
		e.changes.Modules = now // they may not have been whole
	}
	if len(j.Wanted) > 0 {
		e.markAll(j, "unpacked")
	}
}

// endTry notes how one of the tries of a job has ended.
func (e *Engine) endTry(j *jobs.Job, key ledger.Key, now time.Time, err error) {
	inCompany := key != ledger.Packages(j.Wanted) && key != ledger.Firmware(j.Files.Asked) && key != ledger.Reinstall(j.Wanted)
	switch {
	case err != nil && inCompany && ofOnePackage(reason.Of(err)):
		e.ledger.Withdraw(key, j.Number, true)
		return
	case key == ledger.Firmware(j.Files.Asked):
		err = ofFirmware(err)
	}
	e.ledger.End(key, j.Number, now, err)
	if err != nil {
		return
	}
	delete(e.incomplete, key)
	for _, d := range e.devices {
		if len(d.missing) > 0 && ledger.Firmware(d.missing) == key {
			e.ledger.Forget(ledger.Load(d.stay)) // it is loaded anew
			d.brought = d.missing
		}
	}
}

// ofFirmware is why files could not be brought: that they are missing, unless what kept
// them away may pass by itself.
func ofFirmware(err error) error {
	switch reason.Of(err) {
	case reason.BackendBusy, reason.BackendMissing, reason.NotAuthorized, reason.RepoUnreachable, reason.NoSpace, reason.TransactionFailed:
		return err
	}
	return reason.With(reason.FirmwareMissing, err)
}

// ofOnePackage says whether a transaction may have failed because of one of its
// packages, so that the others would do without it.
func ofOnePackage(why reason.Reason) bool {
	switch why {
	case reason.NoPackage, reason.Excluded, reason.TransactionRefused, reason.TransactionFailed, reason.UntrustedPackage:
		return true
	}
	return false
}
