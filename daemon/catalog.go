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
	Fresh        bool   // their metadata was renewed first
	dnfbridge.Listing
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

	renewed  time.Time // when it was last learned with the metadata renewed
	toRenew  bool      // that is to be done next
	renewing bool      // the last try was to do that
}

func (c *catalog) lastTry() ledger.Try { return c.engine.ledger.Get(ledger.Catalog(c.release)) }

// restore takes what was learned before the service was started.
func (c *catalog) restore() {
	learned, err := c.cache.Load(c.release)
	if err != nil {
		c.engine.Log.Debug().Err(err).Msg("no catalog in the cache")
		return
	}
	c.keep(learned)
}

// refresh has the catalog learned anew, after the metadata was renewed at a moment.
func (c *catalog) refresh(renewed time.Time) { c.outOfDate, c.renewed = true, renewed }

// renew has the catalog learned anew, with the metadata renewed. Until then it says of
// nothing that it is missing.
func (c *catalog) renew() { c.renewed, c.toRenew = time.Time{}, true }

// factsFor completes the facts about a device. What the catalog lacks may have been
// added to the repositories before the device came, and the package manager keeps
// metadata for days. So before a device is said to have no driver, or none that can be
// had, it is renewed, once for all that came until then. The chipset, of which every
// guest has parts without a driver, is not worth it.
func (c *catalog) factsFor(d *device, f plan.Facts) plan.Facts {
	if c.known == nil || !c.renewed.Before(d.came) || plan.Chipset(d.Class) {
		return f
	}
	if try := c.lastTry(); c.renewing && try.Failed() && !try.Began.Before(d.came) {
		f.CatalogProblem = try.Err
	} else {
		f.Doubtful = true
	}
	return f
}

// renewFor has the catalog renewed for a device that came at a moment, unless that is
// under way.
func (c *catalog) renewFor(came time.Time) {
	try := c.lastTry()
	c.toRenew = c.toRenew || c.known != nil && (!try.Running() || !c.renewing || try.Began.Before(came))
}

// Step asks the repositories about the kernel when it is time, and returns when it
// will be.
func (c *catalog) Step(now time.Time) (wake time.Time) {
	try, changes := c.lastTry(), c.engine.changes
	good := c.known != nil && c.problem == nil && len(c.known.NEVRAs()) > 0
	switch fresh := c.last.At.Add(catalogAge); {
	case try.Running():
		return time.Time{}
	case try.Failed() && !try.Due(now, changes) && !c.toRenew:
		return try.RetryAt
	case !try.Failed() && good && !c.outOfDate && !c.toRenew && now.Before(fresh) && c.last.Repositories == c.engine.repositories:
		return fresh
	}
	c.learn(now)
	return time.Time{}
}

func (c *catalog) learn(now time.Time) {
	e, key, last := c.engine, ledger.Catalog(c.release), c.lastTry()
	learned, first := Learned{At: now, Repositories: e.repositories}, c.known == nil
	// What is hidden, or has come since the metadata, is only listed then.
	learned.Fresh = c.toRenew || last.Failed() && c.renewing || errors.Is(last.Err, errNoBuild) || c.known.Excludes()
	e.ledger.Begin(key, 0, now, ledger.Try{})
	c.learned, c.outOfDate, c.toRenew, c.renewing = make(chan struct{}), false, false, learned.Fresh
	var unkept error
	e.start(
		func(ctx context.Context) (err error) {
			learned.Listing, err = e.Backend.KernelPackages(ctx, c.release, learned.Fresh)
			if err == nil && first && !learned.Fresh && !learned.Offered() { // it may have been built since the metadata was fetched
				learned.Fresh = true
				learned.Listing, err = e.Backend.KernelPackages(ctx, c.release, true)
			}
			learned.Packages = wanted(learned.Packages)
			switch {
			case err != nil:
				return withReason(reason.TransactionFailed, err)
			case NewCatalog(learned.Packages).Excludes() && !learned.Offered():
				return reason.With(reason.Excluded, errNoBuild)
			case !learned.Offered(): // they may come back; nothing worth keeping until then
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

// errNoBuild is what is wrong with repositories that answer, and from which no package
// of the kernel can be installed.
var errNoBuild = errors.New("the repositories have no package of this kernel that can be installed")

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
	if err == nil {
		log.Info().Str("event", "catalog-learned").Msgf("learned the packages of kernel %s", c.release)
	}
}

// keep keeps what the repositories have said, all of it.
func (c *catalog) keep(learned Learned) {
	c.known, c.problem = NewCatalog(learned.Packages), nil
	learned.Packages = nil
	c.last, c.renewing = learned, false
	if learned.Fresh {
		c.renewed = learned.At
	}
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
			NEVRA: p.NEVRA, Repo: p.RepoID, Installed: p.Installed, Excluded: p.Excluded,
			DownloadSize: p.DownloadSize, InstallSize: p.InstallSize, Provides: p.Provides,
		})
	}
	return all
}
