// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"slices"
	"time"

	"driverd/plan"
	"driverd/reason"
)

// Next is the kernel that the next boot brings, if it is not the running one.
type Next struct {
	Release string // empty if it is the running one
	Kernel  plan.Kernel
}

// successor is what is done for the next kernel, as long as nothing changes on
// disk: DNF brings it the subpackages that were installed when it came, but not
// what has been needed since, nor what its build has put elsewhere.
type successor struct {
	Next
	began    time.Time     // when it was first looked at
	catalog  *plan.Catalog // nil until learned
	problem  error         // why that could not be done
	learning bool
	tried    bool      // to install what it lacks
	tries    int       // without success, so far
	again    time.Time // when all this is out of date; zero for never
}

// prepareNext brings the next kernel the packages that devices need which have
// their drivers now. All else has the right of way.
func (e *Engine) prepareNext() {
	n := e.next
	if next := e.Next(); next != n.Next || e.outside.configured.After(n.began) || e.overtaken(n.began, n.problem) {
		n = &successor{Next: next, began: time.Now()}
		e.next = n
	}
	if n.Release == "" || n.learning || e.job != nil || e.modeNow() != Auto {
		return
	}
	if !n.again.IsZero() {
		if time.Now().Before(n.again) {
			e.wakeAt(n.again)
		} else {
			n.catalog, n.problem, n.tried, n.again = nil, nil, false, time.Time{}
		}
	}
	packages, learn := e.lackedBy(n)
	switch {
	case learn:
		e.learnNext(n)
	case len(packages) > 0 && !n.tried:
		n.tried = true
		e.run(e.newJob(&job{origin: Hotplug, packages: packages, next: n}))
	}
}

// lackedBy lists what the next kernel lacks, or says that it has to be learned.
func (e *Engine) lackedBy(n *successor) (packages []string, learn bool) {
	f := plan.Facts{
		Release: n.Release, Kernel: n.Kernel, Catalog: n.catalog, CatalogProblem: n.problem, Policy: e.config.Policy,
	}
	for _, r := range e.records {
		d := r.device
		// A driver that is no module of the running kernel's is none there.
		if d.Driver == "" || d.Modalias == "" || len(e.kernel.Installed(d.Modalias)) == 0 {
			continue
		}
		d.Driver = ""
		switch decision := plan.Decide(d, f); decision.Action {
		case plan.Learn:
			return nil, true
		case plan.Install:
			packages = append(packages, decision.Packages...)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages), false
}

// learnNext asks the repositories about the next kernel.
func (e *Engine) learnNext(n *successor) {
	n.learning = true
	var catalog *plan.Catalog
	e.start(
		func(ctx context.Context) error {
			packages, err := e.Backend.KernelPackages(ctx, n.Release)
			catalog = NewCatalog(wanted(packages))
			return err
		},
		func(err error) {
			n.learning = false
			e.used()
			n.catalog, n.problem = catalog, err
			if err == nil {
				n.again = time.Now().Add(catalogAge)
				return
			}
			n.retryLater()
			e.Log.Warn().Str("event", "catalog-failed").Str("reason", string(reason.Of(err))).
				Msgf("cannot learn the packages of kernel %s, which the next boot brings, next try at %s: %v", n.Release, n.again.Format(time.TimeOnly), err)
		})
}

// retryLater puts the next try off, longer each time.
func (n *successor) retryLater() {
	n.tries++
	n.again = time.Now().Add(backoff(n.tries))
}
