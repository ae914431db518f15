// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"time"

	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/hwdetect"
	"driverd/plan"
)

// Next is the kernel that the next boot brings, if it is not the running one.
type Next struct {
	Release string // empty if it is the running one
	Kernel  plan.Kernel
}

// nextKernel brings the next kernel the packages that devices need which have their
// drivers now. DNF brings it the subpackages that were installed when it came, but not
// what has been needed since, nor what its build has put elsewhere.
type nextKernel struct {
	Next
	engine  *Engine
	catalog *catalog
	tried   ledger.Key // what was installed for it last
}

// Step does what is to be done for the next kernel when nothing else is, and returns
// when it has to be called again.
func (n *nextKernel) Step(now time.Time) (wake time.Time) {
	e := n.engine
	if next := e.Next(); next != n.Next {
		e.ledger.Forget(n.tried)
		n.Next, n.catalog = next, &catalog{engine: e, release: next.Release}
	}
	if n.Release == "" || e.jobs.AtWork() != nil || e.modeNow() != Auto {
		return time.Time{}
	}
	packages, learn := n.lacks()
	if learn || n.catalog.known != nil {
		wake = n.catalog.Step(now)
	}
	if len(packages) == 0 {
		return wake
	}
	n.tried = ledger.Packages(packages)
	switch try := e.ledger.Get(n.tried); {
	case !try.Done() || try.Due(now, e.changes):
		e.run(e.jobs.Add(&jobs.Job{
			Kind: jobs.ForNextKernel, Origin: Hotplug, Status: Job{Packages: packages}, Wanted: packages, Tries: []ledger.Key{n.tried},
		}, now))
	case wake.IsZero() || !try.RetryAt.IsZero() && try.RetryAt.Before(wake):
		wake = try.RetryAt
	}
	return wake
}

// lacks lists what the next kernel lacks, or says that its packages are to be learned.
func (n *nextKernel) lacks() (packages []string, learn bool) {
	e := n.engine
	f := plan.Facts{
		Release: n.Release, Kernel: n.Kernel, Catalog: n.catalog.known, CatalogProblem: n.catalog.problem,
		Law: e.law, Policy: e.config.Policy,
	}
	for _, known := range e.devices {
		d := known.Device
		// A driver that is no module of the running kernel's is none there.
		if d.Driver == "" || d.Modalias == "" || len(e.kernel.Installed(d.Modalias)) == 0 || n.has(d.Modalias) {
			continue
		}
		d.Driver = ""
		switch decision := plan.Decide(d, f); decision.Action {
		case plan.Learn:
			return nil, true
		case plan.Install:
			packages = union(packages, decision.Packages)
		}
	}
	return packages, n.catalog.problem != nil
}

// has says whether the next kernel has a driver for a device: that which is bound now
// need not be the best.
func (n *nextKernel) has(modalias string) bool {
	return len(n.Kernel.Claims(hwdetect.BuiltIn, modalias))+len(n.Kernel.Claims(hwdetect.Installed, modalias)) > 0
}

// learning says whether the packages of the next kernel are being learned.
func (n *nextKernel) learning() bool { return n.catalog != nil && n.catalog.lastTry().Running() }
