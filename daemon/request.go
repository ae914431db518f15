// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

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
	err = e.choose(ctx, selectors, func(c choice) { job = e.request(q, c) })
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
	records  []*record       // of those that have no driver yet
	bound    []string        // what to say of the others, and of files that are there
}

// errLearn says that the packages of the kernel are not known yet.
var errLearn = errors.New("the packages of the kernel are not known yet")

// choose calls then, in the engine's goroutine, with what the selectors come to.
// It waits for the packages of the kernel if they are being learned; and if there
// was a problem with them, it has them learned again: whoever asks may just have
// solved it.
func (e *Engine) choose(ctx context.Context, selectors []plan.Selector, then func(choice)) error {
	patience := time.NewTimer(learnTime)
	defer patience.Stop()
	for again := true; ; again = false {
		var refused error
		var learned <-chan struct{}
		if err := e.change(ctx, func() {
			var c choice
			if c, refused = e.choice(selectors); refused == nil {
				then(c)
				return
			}
			trouble := e.catalog.tries > 0 && (errors.Is(refused, ErrNoCandidate) || errors.Is(refused, ErrBackendFailed))
			if errors.Is(refused, errLearn) || again && trouble {
				e.catalog.retryNow()
				e.learnCatalog()
				learned = e.catalog.learned
			}
		}); err != nil {
			return err
		}
		if learned == nil {
			return refused
		}
		select {
		case <-learned:
		case <-patience.C:
			if !errors.Is(refused, errLearn) {
				return refused
			}
			return refuse(ErrBusy, "the packages of kernel %s are still being learned: try again in a minute", e.Release)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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
		return c, refuse(ErrRefused, "%s", e.misconfiguration())
	case len(selectors) == 0:
		return e.everything()
	}
	var devices []hwdetect.Device
	for _, r := range e.sorted() {
		devices = append(devices, r.device)
	}
	for _, s := range selectors {
		selection, ok := s.Select(devices, e.factsOfRequest())
		if !ok {
			return c, refuse(ErrNoSuchDevice, "there is no device in slot %s", s)
		}
		if err := e.refusal(s.String()+": ", selection.Decision); err != nil {
			return c, err
		}
		c.take(selection.Decision)
		if file := selection.Firmware; file != "" {
			c.takeFirmware(file, len(e.Firmware.Lacking([]string{file})) > 0)
		}
		for _, slot := range selection.Slots {
			e.takeDevice(&c, e.records[slot])
		}
	}
	return c.tidy(), nil
}

// factsOfRequest are the facts for what somebody asks for: the mode is no
// obstacle to that.
func (e *Engine) factsOfRequest() plan.Facts {
	f := e.facts()
	f.Observe = false
	return f
}

// everything chooses what the devices that are here need. Those that nothing
// can be done for are left out.
func (e *Engine) everything() (c choice, err error) {
	for _, r := range e.sorted() {
		d := plan.Decide(r.device, e.factsOfRequest())
		switch refused := e.refusal("", d); {
		case errors.Is(refused, errLearn):
			return c, refused
		case errors.Is(refused, ErrBackendFailed):
			err = refused
		case d.Action == plan.Install || d.Action == plan.Load:
			e.takeDevice(&c, r)
		}
	}
	if len(c.records) > 0 {
		err = nil // for some of them
	}
	return c.tidy(), err
}

// take adds what a decision is about.
func (c *choice) take(d plan.Decision) {
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
func (e *Engine) takeDevice(c *choice, r *record) {
	c.slots = append(c.slots, r.device.Slot)
	switch d := plan.Decide(r.device, e.factsOfRequest()); {
	case d.Action != plan.Nothing:
		c.take(d)
		c.records = append(c.records, r)
	case d.State == plan.Bound:
		c.bound = append(c.bound, r.device.Slot.String()+" is bound to "+r.device.Driver+" already")
	}
}

// tidy leaves out what is in the choice twice.
func (c choice) tidy() choice {
	slices.Sort(c.packages)
	c.packages = slices.Compact(c.packages)
	slices.Sort(c.firmware)
	c.firmware = slices.Compact(c.firmware)
	slices.Sort(c.asked)
	c.asked = slices.Compact(c.asked)
	slices.Sort(c.present)
	c.present = slices.Compact(c.present)
	slices.SortFunc(c.slots, hwdetect.Slot.Compare)
	c.slots = slices.Compact(c.slots)
	slices.SortFunc(c.records, func(a, b *record) int { return a.device.Slot.Compare(b.device.Slot) })
	c.records = slices.Compact(c.records)
	slices.Sort(c.bound)
	c.bound = slices.Compact(c.bound)
	return c
}

// refusal is why nothing can be done, nil if something can or need not be.
func (e *Engine) refusal(what string, d plan.Decision) error {
	problem := e.catalog.problem
	switch {
	case d.Action == plan.Learn:
		return errLearn
	case d.Reason == reason.None:
		return nil
	case problem != nil && d.Reason == reasonOf(problem):
		return refuse(ErrBackendFailed, "%s%s", what, d.Message)
	case d.Reason == reason.NoDriver, d.Reason == reason.NoPackage, d.Reason == reason.StaleKernel:
		return refuse(ErrNoCandidate, "%s%s", what, d.Message)
	default:
		return refuse(ErrRefused, "%s%s", what, d.Message)
	}
}

// request finds or makes the job that does what was chosen.
func (e *Engine) request(q Request, c choice) (number uint64) {
	if q.DownloadOnly {
		c.records = nil // they get no driver by it
	}
	for _, r := range c.records {
		r.again()
		r.asked = true
	}
	for _, j := range e.jobs {
		if j.state == JobRunning && j.covers(q, c) {
			return j.number
		}
	}
	j := e.newJob(&job{
		origin: q.Origin, downloadOnly: q.DownloadOnly, packages: c.packages, slots: c.slots, records: c.records,
		files: files{named: c.firmware, asked: c.asked},
	})
	e.Log.Info().Str("event", "job-requested").Strs("packages", j.packages).
		Msgf("job %d is asked for by %s: %s", j.number, q.Origin, cmp.Or(strings.Join(q.Selectors, " "), "all that is missing"))
	switch {
	case len(c.packages)+len(c.asked) > 0:
	case len(c.records) > 0:
		j.phase = PhaseLoad
	default:
		j.packages = c.present
		e.endJob(j, JobDone, reason.None, c.already())
	}
	e.look()
	return j.number
}

// covers says whether a job that runs does all that was chosen.
func (j *job) covers(q Request, c choice) bool {
	missing := func(nevra string) bool { return !slices.Contains(j.packages, nevra) }
	unsought := func(file string) bool { return !slices.Contains(j.files.asked, file) }
	stranger := func(r *record) bool { return r.job != j }
	return (q.DownloadOnly || !j.downloadOnly) && len(c.packages)+len(c.asked)+len(c.records) > 0 &&
		!slices.ContainsFunc(c.packages, missing) && !slices.ContainsFunc(c.asked, unsought) && !slices.ContainsFunc(c.records, stranger)
}

// already says that there is nothing to do.
func (c choice) already() string {
	switch {
	case len(c.bound) > 0:
		return strings.Join(c.bound, "; ")
	case len(c.present) > 0:
		return (&job{packages: c.present}).summary()
	}
	return "nothing is missing"
}
