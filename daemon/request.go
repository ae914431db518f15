// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"driverd/daemon/jobs"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

const (
	// maxSelectors and maxSelector bound what somebody may ask for at once.
	maxSelectors = 256
	maxSelector  = 1024 // bytes
	// learnTime is how long a request waits for the packages of the kernel to
	// be learned.
	learnTime = 20 * time.Second
)

// Request is what somebody asks for.
type Request struct {
	Selectors    []string // none: all that the devices of the guest need
	DownloadOnly bool
	Origin       string // who asks: "uid:0"
}

// Install begins to install, and to load, what the request names, and returns
// the number of the job that does it. That may be one that does it already.
func (e *Engine) Install(ctx context.Context, q Request) (job uint64, err error) {
	selectors, err := parseSelectors(q.Selectors)
	if err != nil {
		return 0, err
	}
	err = e.choose(ctx, selectors, true, func(c choice) { job = e.request(q, c) })
	return job, err
}

func parseSelectors(texts []string) ([]plan.Selector, error) {
	if len(texts) > maxSelectors {
		return nil, refuse(ErrNotUnderstood, "%d selectors are too many: want %d at most", len(texts), maxSelectors)
	}
	var selectors []plan.Selector
	for _, text := range texts {
		if len(text) > maxSelector {
			return nil, refuse(ErrNotUnderstood, "cannot understand %.80q...: it is longer than %d bytes", text, maxSelector)
		}
		s, err := plan.ParseSelector(text)
		if err != nil {
			return nil, refuse(ErrNotUnderstood, "%v", err)
		}
		selectors = append(selectors, s)
	}
	return selectors, nil
}

// choice is what selectors come to on this guest, now.
type choice struct {
	packages []string        // to be installed
	present  []string        // packages that are installed
	firmware []string        // files that drivers in the packages may ask for
	asked    []string        // files of firmware that are named, and missing
	slots    []hwdetect.Slot // of the devices that it is for
	devices  []*device       // those that have no driver yet
	bound    []string        // what to say of the others, and of files that are there
}

// learnError says that it is not known yet which packages there are for the kernel: its
// own, or those of a vendor's driver.
type learnError struct{ vendor string } // empty for its own

func (l learnError) Error() string {
	return "the packages of " + cmp.Or(l.vendor, "the kernel") + " are still being learned: try again in a minute"
}

// choose calls then, in the engine's goroutine, with what the selectors come to.
// It waits for the packages that are to be learned first. If there is none
// for what was asked, or a problem with them, eager has them learned again at once:
// whoever asks with privilege may know better.
func (e *Engine) choose(ctx context.Context, selectors []plan.Selector, eager bool, then func(choice)) error {
	patience := time.NewTimer(learnTime)
	defer patience.Stop()
	var waited <-chan struct{}
	for ; ; eager = false {
		var refused error
		var learned <-chan struct{}
		if err := e.change(ctx, func() {
			var c choice
			if c, refused = e.choice(selectors); refused == nil {
				then(c)
				return
			}
			learned = e.learnFor(refused, eager)
		}); err != nil {
			return err
		}
		var unlearned learnError
		if errors.As(refused, &unlearned) {
			refused = refuse(ErrBusy, "%v", unlearned)
		}
		if learned == nil || learned == waited {
			return refused
		}
		waited = learned
		select {
		case <-learned:
		case <-patience.C:
			return refused
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// learnFor has learned what a request was refused for, and returns what is closed at the end
// of that; nil if nothing is learned for it.
func (e *Engine) learnFor(refused error, eager bool) <-chan struct{} {
	now := time.Now()
	var unlearned learnError
	switch {
	case errors.As(refused, &unlearned) && unlearned.vendor != "":
		e.offers.want(unlearned.vendor)
		e.offers.Step(now)
		return e.offers.learned
	case errors.As(refused, &unlearned):
		return e.catalog.learned
	case eager && (errors.Is(refused, ErrNoCandidate) || errors.Is(refused, ErrBackendFailed)):
		e.catalog.renew()
		e.catalog.Step(now)
		return e.catalog.learned
	}
	return nil
}

// choice says what selectors come to, or why one of them comes to nothing.
func (e *Engine) choice(selectors []plan.Selector) (c choice, err error) {
	switch {
	case e.Gate != nil:
		return c, refuse(ErrRefused, "%v", e.Gate)
	case e.blind != nil:
		return c, refuse(ErrRefused, "cannot see the hardware: %v", e.blind)
	case e.kernel == nil:
		return c, refuse(ErrBusy, "the hardware is being looked at for the first time: try again in a second")
	case e.misconfigured != nil:
		return c, reason.With(reason.ObserveOnly, refuse(ErrRefused, "%s", e.misconfiguration()))
	case len(selectors) == 0:
		return e.everything()
	}
	var devices []hwdetect.Device
	for _, d := range e.sorted() {
		devices = append(devices, d.Device)
	}
	facts := e.factsOfRequest(true)
	for _, s := range selectors {
		selection, ok := s.Select(devices, facts)
		if !ok {
			return c, refuse(ErrNoSuchDevice, "there is no device in slot %s", s)
		}
		if err := e.refusal(s.String()+": ", selection.Want); err != nil {
			return c, err
		}
		c.take(selection.Want)
		if file := selection.Firmware; file != "" {
			c.takeFirmware(file, len(e.Firmware.Lacking([]string{file})) > 0)
		}
		for _, slot := range selection.Slots {
			d := e.devices[slot]
			c.takeDevice(d, plan.Decide(d.Device, facts))
		}
	}
	return c.tidy(), nil
}

// factsOfRequest are the facts for what somebody asks for: the mode is no obstacle to
// that, nor is that a device is left alone unasked if it is named.
func (e *Engine) factsOfRequest(named bool) plan.Facts {
	f := e.facts()
	f.Observe, f.Asked = false, named
	return f
}

// everything chooses what the devices that are here need. Those that nothing
// can be done for are left out.
func (e *Engine) everything() (c choice, err error) {
	facts := e.factsOfRequest(false)
	for _, d := range e.sorted() {
		facts.Unbound = e.unbound(d) // nobody names it
		want := plan.Decide(d.Device, facts)
		switch refused := e.refusal("", want); {
		case want.Action == plan.Learn:
			return c, refused
		case errors.Is(refused, ErrBackendFailed):
			err = refused
		case want.Action == plan.Install || want.Action == plan.Load:
			c.takeDevice(d, want)
		}
	}
	if len(c.devices) > 0 {
		err = nil // for some of them
	}
	return c.tidy(), err
}

// take adds what a decision is about.
func (c *choice) take(d plan.Want) {
	if d.Action == plan.Install {
		c.packages = append(c.packages, d.Packages...)
		c.firmware = append(c.firmware, d.Firmware...)
	} else {
		c.present = append(c.present, d.Packages...)
	}
}

// takeFirmware adds a file that is named.
func (c *choice) takeFirmware(file string, missing bool) {
	if missing {
		c.asked = append(c.asked, file)
	} else {
		c.bound = append(c.bound, "/lib/firmware/"+file+" is there already")
	}
}

// takeDevice adds a device, and what it needs.
func (c *choice) takeDevice(d *device, want plan.Want) {
	c.slots = append(c.slots, d.Slot)
	switch {
	case want.Action != plan.Nothing:
		c.take(want)
		c.devices = append(c.devices, d)
	case want.State == plan.Bound:
		c.bound = append(c.bound, d.Slot.String()+" is bound to "+d.Driver+" already")
	}
}

// tidy leaves out what is in the choice twice.
func (c choice) tidy() choice {
	for _, list := range []*[]string{&c.packages, &c.firmware, &c.asked, &c.present, &c.bound} {
		*list = union(*list, nil)
	}
	slices.SortFunc(c.slots, hwdetect.Slot.Compare)
	c.slots = slices.Compact(c.slots)
	slices.SortFunc(c.devices, func(a, b *device) int { return a.Slot.Compare(b.Slot) })
	c.devices = slices.Compact(c.devices)
	return c
}

// refusal is why nothing can be done, nil if something can or need not be.
func (e *Engine) refusal(what string, d plan.Want) error {
	problem, kind := e.catalog.problem, ErrRefused
	if offer, ok := e.offers.known[d.Vendor]; ok {
		problem = offer.Problem
	}
	switch {
	case d.Action == plan.Learn:
		return learnError{d.Vendor}
	case d.Reason == reason.None:
		return nil
	case problem != nil && d.Reason == reason.Of(problem):
		kind = ErrBackendFailed
	case d.Reason == reason.NoDriver, d.Reason == reason.NoPackage, d.Reason == reason.Excluded, d.Reason == reason.StaleKernel:
		kind = ErrNoCandidate
	}
	return reason.With(d.Reason, refuse(kind, "%s%s", what, d.Message))
}

// request finds or makes the job that does what was chosen.
func (e *Engine) request(q Request, c choice) (number uint64) {
	kind := jobs.Requested
	if q.DownloadOnly {
		kind, c.devices = jobs.DownloadOnly, nil // they get no driver by it
	}
	for _, d := range c.devices {
		e.tryAnew(d)
		d.asked, d.tenure = true, tenure{}
	}
	for _, j := range e.jobs.All() {
		if j.Active() && e.covers(j, kind, c) {
			return j.Number
		}
	}
	j := e.jobs.Add(&jobs.Job{Kind: kind, Origin: q.Origin, Selectors: q.Selectors}, time.Now())
	e.Log.Info().Str("event", "job-requested").Strs("packages", c.packages).
		Msgf("job %d is asked for by %s: %s", j.Number, q.Origin, cmp.Or(strings.Join(q.Selectors, " "), "all that is missing"))
	e.fill(j, c)
	e.look()
	return j.Number
}

// covers says whether a job does all that was chosen.
func (e *Engine) covers(j *jobs.Job, kind jobs.Kind, c choice) bool {
	lacks := func(all []string) func(string) bool {
		return func(one string) bool { return !slices.Contains(all, one) }
	}
	return (kind == jobs.DownloadOnly || j.Kind != jobs.DownloadOnly) && len(c.packages)+len(c.asked)+len(c.devices) > 0 &&
		!slices.ContainsFunc(c.packages, lacks(j.Packages)) && !slices.ContainsFunc(c.asked, lacks(j.Files.Asked)) &&
		!slices.ContainsFunc(c.devices, func(d *device) bool { return e.jobs.Serving(d.stay) != j })
}

// already says that there is nothing to do.
func (c choice) already() string {
	switch {
	case len(c.bound) > 0:
		return strings.Join(c.bound, "; ")
	case len(c.present) > 0:
		return (&jobs.Job{Status: Job{Packages: c.present}}).Summary()
	}
	return "nothing is missing"
}
