// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/hwdetect"
	"driverd/kernelbuild"
	"driverd/plan"
)

// Next is the kernel that the next boot brings, if it is not the running one.
type Next struct {
	Release string // empty if it is the running one
	Kernel  plan.Kernel
	Lacks   []string // modules that are loaded now, and that it does not have
	Doubt   error    // why it may be another one, nil if it is certain
}

// NextKernel is what the world sees of the kernel that the next boot brings. It is empty if that
// is the running one.
type NextKernel struct {
	Release  string
	Ready    bool     // it has every module that is loaded now, and every driver of a device
	Message  string   // one sentence for a person; empty if there is nothing to say
	Packages []string // NEVRAs of those that would make it ready, as far as known
}

// nextKernel brings the next kernel the packages that devices need which have their
// drivers now, and those that hold modules which are loaded. DNF brings it the subpackages that
// were installed when it came, but not what has been needed since, nor what its build has put
// elsewhere.
type nextKernel struct {
	Next
	engine  *Engine
	catalog *catalog
	offers  *offers
	lacking lacking
	tried   [2]ledger.Key // what was installed for it last: its own packages, and those of vendors
}

// lacking is what the next kernel does not have.
type lacking struct {
	slots    []string // of devices whose drivers it lacks
	modules  []string // that are loaded now, and that no driver brings along
	packages []string // that hold them, as far as known
	groups   []string // of those
	ofVendor []string // packages of vendors' drivers
	vendors  []string // whose drivers there are not for it
	unknown  []string // sentences: of which vendors' drivers it is not known whether they are, and why
	learn    bool     // its packages are to be learned first
}

// Step does what is to be done for the next kernel when nothing else is, and returns
// when it has to be called again.
func (n *nextKernel) Step(now time.Time) (wake time.Time) {
	e := n.engine
	next := e.Next()
	if next.Release != n.Release || next.Kernel != n.Kernel {
		for _, key := range n.tried {
			e.ledger.Forget(key)
		}
		n.catalog, n.offers = &catalog{engine: e, release: next.Release}, &offers{engine: e, release: next.Release}
	}
	n.Next, n.lacking = next, lacking{}
	if n.Release == "" {
		return time.Time{}
	}
	n.lacking = n.lacks()
	wake = n.offers.Step(now) // in any mode: whether a vendor has built its driver is for people to know
	if e.jobs.AtWork() != nil || e.modeNow() != Auto {
		return wake
	}
	if n.lacking.learn || n.catalog.problem != nil || n.catalog.known != nil {
		if at := n.catalog.Step(now); wake.IsZero() || !at.IsZero() && at.Before(wake) {
			wake = at
		}
	}
	if n.lacking.learn {
		return wake
	}
	// A vendor's packages do not keep the kernel's away: each have a transaction of their own.
	for i, packages := range [...][]string{n.lacking.packages, n.lacking.ofVendor} {
		if len(packages) == 0 {
			continue
		}
		n.tried[i] = ledger.Packages(packages)
		switch try := e.ledger.Get(n.tried[i]); {
		case !try.Done() || try.Due(now, e.changes):
			e.run(e.jobs.Add(&jobs.Job{
				Kind: jobs.ForNextKernel, Origin: Hotplug, Status: Job{Packages: packages}, Wanted: packages, Tries: []ledger.Key{n.tried[i]},
			}, now))
			return wake
		case wake.IsZero() || !try.RetryAt.IsZero() && try.RetryAt.Before(wake):
			wake = try.RetryAt
		}
	}
	return wake
}

// lacks finds out what the next kernel lacks.
func (n *nextKernel) lacks() lacking {
	e := n.engine
	f := plan.Facts{
		Release: n.Release, Kernel: n.Kernel, Catalog: n.catalog.known, CatalogProblem: n.catalog.problem,
		Law: e.law, Policy: e.config.Policy, Vendors: e.config.Vendors, Offers: n.offers.known,
	}
	var l lacking
	for _, known := range e.sorted() {
		d := known.Device
		if n.lacksVendor(d, f, &l) {
			continue
		}
		// A driver that is no module of the running kernel's is none there.
		if d.Driver == "" || d.Modalias == "" || len(e.kernel.Installed(d.Modalias)) == 0 || n.has(d.Modalias) {
			continue
		}
		d.Driver = ""
		want := plan.Decide(d, f)
		want.Group = cmp.Or(want.Group, known.want.Group)
		l.slots = append(l.slots, d.Slot.String())
		l.add(want)
	}
	brought := l.packages
	for _, module := range n.Lacks {
		if slices.ContainsFunc(e.config.Vendors, func(v plan.Vendor) bool { return v.Enabled && slices.Contains(v.Modules, module) }) {
			continue // which devices need it for is known
		}
		s, err := plan.ParseSelector("kmod(" + module + ".ko)")
		if err != nil {
			continue // no name of a module
		}
		selection, _ := s.Select(nil, f)
		holders := selection.Want.Packages
		if len(holders) == 0 || slices.ContainsFunc(holders, func(nevra string) bool { return !slices.Contains(brought, nevra) }) {
			l.modules = append(l.modules, module)
		}
		l.add(selection.Want)
	}
	return l
}

// lacksVendor says whether a device is one that an enabled vendor's driver is for, and notes
// what the next kernel lacks of that.
func (n *nextKernel) lacksVendor(d hwdetect.Device, f plan.Facts, l *lacking) bool {
	v, ok := f.EnabledFor(d)
	if !ok {
		return false
	}
	if f.HasModule(d, v) {
		return true
	}
	n.offers.want(v.Name)
	d.Driver = ""
	want := plan.Decide(d, f)
	switch {
	case want.State == plan.Unavailable && f.Offers[v.Name].Problem != nil:
		l.unknown = union(l.unknown, []string{want.Message})
		return true
	case want.State == plan.Unavailable:
		l.vendors = union(l.vendors, []string{v.Name})
		return true
	case want.Action == plan.Install:
		l.ofVendor = union(l.ofVendor, want.Packages)
	}
	l.slots = append(l.slots, d.Slot.String())
	return true
}

// add takes in what is wanted for a device, or for a module.
func (l *lacking) add(want plan.Want) {
	switch want.Action {
	case plan.Learn:
		l.learn = true
	case plan.Install:
		l.packages = union(l.packages, want.Packages)
	default:
		return
	}
	if slices.Contains(kernelbuild.OptionalGroups(), want.Group) {
		l.groups = union(l.groups, []string{want.Group})
	}
}

// maxNamed is how many modules a message names.
const maxNamed = 5

// view is what the world sees of the next kernel.
func (n *nextKernel) view() NextKernel {
	if n.Release == "" {
		return NextKernel{}
	}
	l := n.lacking
	v := NextKernel{Release: n.Release, Ready: len(l.slots)+len(l.modules)+len(l.vendors)+len(l.unknown) == 0, Packages: union(l.packages, l.ofVendor)}
	var lacks, words []string
	if len(l.slots) > 0 {
		lacks = append(lacks, "the driver of "+strings.Join(l.slots, ", "))
	}
	if all := l.modules; len(all) > 0 {
		text := strings.Join(all[:min(len(all), maxNamed)], ", ")
		if more := len(all) - maxNamed; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		lacks = append(lacks, "what is loaded now: "+text)
	}
	if len(l.vendors) > 0 {
		words = append(words, strings.Join(l.vendors, ", ")+" not built for it yet")
	}
	words = append(words, l.unknown...)
	if len(lacks) > 0 {
		words = append(words, "lacks "+strings.Join(lacks, ", and "))
	}
	if !v.Ready && len(l.groups) > 0 {
		words = append(words, fmt.Sprintf("To install it: driverd image install --for %s %s", n.Release, strings.Join(l.groups, " ")))
	}
	if n.Doubt != nil {
		words = append(words, fmt.Sprintf("It is the newest of its variant, as the boot loader's choice cannot be read: %v", n.Doubt))
	}
	v.Message = strings.Join(words, ". ")
	return v
}

// has says whether the next kernel has a driver for a device: that which is bound now
// need not be the best.
func (n *nextKernel) has(modalias string) bool {
	return len(n.Kernel.Claims(hwdetect.BuiltIn, modalias))+len(n.Kernel.Claims(hwdetect.Installed, modalias)) > 0
}

// unlearned says whether the next kernel lacks something of which it has still to be learned
// what package holds it.
func (n *nextKernel) unlearned() bool {
	l := n.lacking
	return l.learn || len(l.unknown) > 0 || n.catalog != nil && n.catalog.problem != nil && len(l.slots)+len(l.modules) > 0
}

// learning says whether the packages of the next kernel are being learned.
func (n *nextKernel) learning() bool { return n.catalog != nil && n.catalog.lastTry().Running() }
