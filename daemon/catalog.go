// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"driverd/daemon/ledger"
	"driverd/dnfbridge"
	"driverd/plan"
	"driverd/reason"
)

// catalogAge is how old a catalog gets before it is learned anew, in the
// background. The packages of one build do not change; whether the
// repositories still carry them does.
const catalogAge = 24 * time.Hour

// CatalogCache keeps what was learned about a kernel across restarts.
type CatalogCache interface {
	Load(release string) (Learned, error)
	Save(release string, learned Learned) error
}

// Learned is what the repositories have answered.
type Learned struct {
	At           time.Time
	Repositories string // how they were configured, as Outside says it
	Packages     []dnfbridge.Package
}

// catalog is what is known about the packages of a kernel, and keeps that up to date.
type catalog struct {
	engine  *Engine
	release string
	cache   CatalogCache // nil for the next kernel: what is known of it is soon out of date

	known     *plan.Catalog // nil until learned
	problem   error         // why known is missing or not complete, nil if it is neither
	last      Learned       // without its packages
	learned   chan struct{} // closed when the learning ends that goes on, or went on last
	outOfDate bool          // a transaction has found it wrong
}

func (c *catalog) lastTry() ledger.Try { return c.engine.ledger.Get(ledger.Catalog(c.release)) }

// failing says whether the last try to learn it has failed.
func (c *catalog) failing() bool { return c.lastTry().Failed() || c.problem != nil }

// restore takes what was learned before the service was started.
func (c *catalog) restore() {
	learned, err := c.cache.Load(c.release)
	if err != nil {
		c.engine.Log.Debug().Err(err).Msg("no catalog in the cache")
		return
	}
	c.keep(learned)
}

// refresh has the catalog learned anew: it is not what it was.
func (c *catalog) refresh() { c.outOfDate = true }

// retry has a failed try repeated at once.
func (c *catalog) retry(now time.Time) {
	c.engine.ledger.Forget(ledger.Catalog(c.release))
	c.Step(now)
}

// Step asks the repositories about the kernel when it is time, and returns when it
// will be.
func (c *catalog) Step(now time.Time) (wake time.Time) {
	try, changes := c.lastTry(), c.engine.changes
	good := c.known != nil && c.problem == nil && len(c.known.NEVRAs()) > 0
	switch fresh := c.last.At.Add(catalogAge); {
	case try.Running():
		return time.Time{}
	case try.Failed() && !try.Due(now, changes):
		return try.RetryAt
	case !try.Failed() && good && !c.outOfDate && now.Before(fresh) && c.last.Repositories == c.engine.repositories:
		return fresh
	}
	c.learn(now)
	return time.Time{}
}

func (c *catalog) learn(now time.Time) {
	e, key := c.engine, ledger.Catalog(c.release)
	learned := Learned{At: now, Repositories: e.repositories}
	e.ledger.Begin(key, 0, now, ledger.Try{})
	c.learned, c.outOfDate = make(chan struct{}), false
	var unkept error
	e.start(
		func(ctx context.Context) error {
			packages, err := e.Backend.KernelPackages(ctx, c.release)
			learned.Packages = wanted(packages)
			switch {
			case err != nil:
				return withReason(reason.TransactionFailed, err)
			case len(NewCatalog(learned.Packages).NEVRAs()) == 0: // they may come back; nothing worth keeping until then
				return reason.With(reason.StaleKernel, errNoBuild)
			case c.cache != nil:
				unkept = c.cache.Save(c.release, learned)
			}
			return nil
		},
		func(err error) {
			e.ledger.End(key, 0, time.Now(), err)
			close(c.learned)
			e.idleBackend.used(time.Now())
			c.take(learned, err)
			if unkept != nil {
				e.Log.Warn().Str("event", "catalog-not-kept").Msgf("the catalog will have to be learned again after a restart: %v", unkept)
			}
			giveBack()
		})
}

// errNoBuild is what is wrong with repositories that answer, and have no package of
// the kernel.
var errNoBuild = errors.New("the repositories have no package of this kernel")

// take takes what the repositories have answered.
func (c *catalog) take(learned Learned, err error) {
	log := c.engine.Log
	if err != nil && !errors.Is(err, errNoBuild) {
		log.Warn().Str("event", "catalog-failed").Str("reason", string(reason.Of(err))).
			Msgf("cannot learn the packages of kernel %s, next try at %s: %v", c.release, c.lastTry().RetryAt.Format(time.TimeOnly), err)
		if c.known == nil || c.problem != nil {
			c.known, c.problem = NewCatalog(learned.Packages), err
		}
		return
	}
	c.keep(learned)
	log.Info().Str("event", "catalog-learned").Msgf("learned the packages of kernel %s", c.release)
}

// keep keeps what the repositories have said, all of it.
func (c *catalog) keep(learned Learned) {
	c.known, c.problem = NewCatalog(learned.Packages), nil
	learned.Packages = nil
	c.last = learned
}

// wanted leaves out the Provides that no decision needs: most of them, and the
// cache is on the guest's disk.
func wanted(packages []dnfbridge.Package) []dnfbridge.Package {
	packages = slices.Clone(packages)
	for i, p := range packages {
		packages[i].Provides = slices.DeleteFunc(slices.Clone(p.Provides), func(capability string) bool {
			name, _, _ := strings.Cut(capability, " ")
			return !strings.HasPrefix(capability, "modalias(pci:") && !plan.ClaimsChild(capability) &&
				!strings.HasPrefix(capability, "kmod(") && !strings.HasSuffix(name, "-uname-r")
		})
	}
	return packages
}

// NewCatalog makes the catalog of packages as a backend lists them.
func NewCatalog(packages []dnfbridge.Package) *plan.Catalog {
	return plan.NewCatalog(planPackages(packages))
}

func planPackages(packages []dnfbridge.Package) []plan.Package {
	var all []plan.Package
	for _, p := range packages {
		all = append(all, plan.Package{
			NEVRA: p.NEVRA, Repo: p.RepoID, Installed: p.Installed,
			DownloadSize: p.DownloadSize, InstallSize: p.InstallSize, Provides: p.Provides,
		})
	}
	return all
}
