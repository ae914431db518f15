// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/daemon/phase"
	"driverd/hwdetect"
	"driverd/plan"
)

const (
	// maxIdentities is about how many kinds of children is asked, and maxNotes how
	// many things are said about those of one device.
	maxIdentities = 4096
	maxNotes      = 4
)

// children is what is known of the drivers of children that have none. It is found out
// outside the engine's goroutine, anew when what it rests on has changed.
type children struct {
	engine *Engine
	known  map[string]plan.Child // by identity
	basis  childBasis
	asking bool
}

// childBasis is what the answers rest on.
type childBasis struct {
	kernel   plan.Kernel
	catalog  *plan.Catalog
	job      *jobs.Job
	unpacked int // packages of the job
}

func (e *Engine) childBasis() childBasis {
	b := childBasis{kernel: e.kernel, catalog: e.catalog.known, job: e.jobs.AtWork()}
	if b.job != nil {
		b.unpacked = len(b.job.Unpacked)
	}
	return b
}

// Step asks about children of devices of which nothing is known.
func (c *children) Step(devices []*device) {
	if c.asking {
		return
	}
	ids := make(map[string]bool)
	unknown, basis := false, c.engine.childBasis()
	for _, d := range devices {
		for _, child := range d.parts.Children {
			if child.Driver == "" && len(ids) < maxIdentities {
				ids[child.Modalias] = true
				_, known := c.known[child.Modalias]
				unknown = unknown || !known
			}
		}
	}
	if len(ids) == 0 {
		c.known = nil
	}
	if len(ids) == 0 || !unknown && c.basis == basis {
		return
	}
	c.asking = true
	identities := slices.Sorted(maps.Keys(ids))
	var found map[string]plan.Child
	c.engine.start(
		func(context.Context) (err error) {
			found, err = FindChildDrivers(c.engine.Modules, c.engine.Cache, c.engine.Release, identities)
			return err
		},
		func(err error) {
			if err != nil {
				c.engine.Log.Debug().Err(err).Msg("cannot find out what drives the children of devices")
			}
			c.asking, c.known, c.basis = false, found, basis
		})
}

// FindChildDrivers finds out what claims children with these identities: modules, and
// packages for those that no module of the build is known to claim. Each identity has
// an answer, also if there is an error.
func FindChildDrivers(modules ChildModules, cache CatalogCache, release string, identities []string) (map[string]plan.Child, error) {
	claims, err := modules.Children(identities)
	found := make(map[string]plan.Child, len(identities))
	var left []string
	for _, id := range identities {
		found[id] = plan.Child{Modules: claims[id]}
		if len(claims[id].Installed)+len(claims[id].Shipped) == 0 {
			left = append(left, id)
		}
	}
	if len(left) == 0 || err != nil {
		return found, err
	}
	learned, err := cache.Load(release)
	if err != nil {
		return found, nil // it is still to be learned
	}
	for id, nevras := range plan.ChildPackages(planPackages(learned.Packages), left) {
		found[id] = plan.Child{Packages: nevras}
	}
	return found, nil
}

// completeDevices finds out what bound devices need to be whole.
func (e *Engine) completeDevices(devices []*device) {
	e.children.Step(devices)
	facts := e.facts()
	for _, d := range devices {
		if d.want.State == plan.Bound {
			e.complete(d, e.factsFor(d, facts))
		}
	}
}

func (e *Engine) complete(d *device, facts plan.Facts) {
	w := phase.Whole{Driver: d.Driver}
	if why := plan.Keeps(d.Device, d.want, facts); why != "" {
		w.Denied = why
	} else {
		w.Unasked = d.lacksFirmware
	}
	missing := NewChildNotes()
	d.childPackages, d.complete = nil, true
	for _, child := range d.parts.Children {
		if child.Driver != "" {
			continue
		}
		known, isKnown := e.children.known[child.Modalias]
		known.Child = child
		if !isKnown || len(known.Modules.Installed)+len(known.Modules.Fresh) > 0 {
			d.complete = false
		}
		want := plan.DecideChild(d.Device, d.want, known, facts)
		switch {
		case want.Action == plan.Load:
			if !slices.Contains(w.Load, child.Modalias) && slices.ContainsFunc(want.Modules, func(m string) bool { return !e.Loader.Loaded(m) }) {
				w.Load = append(w.Load, child.Modalias)
			}
		case want.Action == plan.Install:
			d.childPackages = union(d.childPackages, want.Packages)
		case !e.coming(want.Packages):
			missing.Add(child, want)
		}
	}
	w.Notes = missing.Notes(d.parts.Problem)
	w.Needs = len(d.childPackages) > 0
	d.whole = w
}

// coming says whether the job at work brings one of the packages.
func (e *Engine) coming(packages []string) bool {
	j := e.jobs.AtWork()
	return j != nil && slices.ContainsFunc(packages, func(nevra string) bool { return slices.Contains(j.Packages, nevra) })
}

// ChildNotes collects what is to be said about children without a driver, each thing
// once.
type ChildNotes struct {
	order []string
	paths map[string][]string // by what is said
}

// NewChildNotes returns notes without any.
func NewChildNotes() *ChildNotes { return &ChildNotes{paths: make(map[string][]string)} }

// Add notes what a want says about a child, if it says something.
func (n *ChildNotes) Add(child hwdetect.Child, want plan.Want) {
	if want.Message == "" {
		return
	}
	if n.paths[want.Message] == nil {
		n.order = append(n.order, want.Message)
	}
	n.paths[want.Message] = append(n.paths[want.Message], child.Path)
}

// Notes returns the notes as text. The problem is why not all children are known, nil if
// they are.
func (n *ChildNotes) Notes(problem error) []string {
	var notes []string
	for _, said := range n.order[:min(len(n.order), maxNotes)] {
		paths := n.paths[said]
		about := paths[0]
		if more := len(paths) - 1; more > 0 {
			about += fmt.Sprintf(" and %d more", more)
		}
		notes = append(notes, about+" has no driver: "+said)
	}
	if more := len(n.order) - maxNotes; more > 0 {
		notes = append(notes, fmt.Sprintf("%d more things keep drivers from others", more))
	}
	if problem != nil {
		notes = append(notes, fmt.Sprintf("not all of it is known: %v", problem))
	}
	return notes
}

// loadChildren runs the load step of a device that has its driver, for its children.
func (e *Engine) loadChildren(d *device, now time.Time) {
	key, try := ledger.Children(d.stay), ledger.Try{Children: d.whole.Load}
	if last := e.ledger.Get(key); !e.changes.Modules.After(last.Began) {
		try.Children = union(last.Children, try.Children)
	}
	e.ledger.Begin(key, 0, now, try)
	e.Log.Debug().Msgf("the load step of %s begins, for its children: %s", d.Slot, strings.Join(d.whole.Load, " "))
	e.runLoadStep(d, func(err error) {
		e.ledger.End(key, 0, time.Now(), err)
		if e.present(d.stay) == nil {
			e.ledger.Forget(key)
		}
	})
}
