// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"slices"
	"strings"
	"time"

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
	// Load returns the packages of release and when they were learned.
	Load(release string) ([]dnfbridge.Package, time.Time, error)
	Save(release string, packages []dnfbridge.Package) error
}

// catalog is what is known about the packages of the running kernel.
type catalog struct {
	known     *plan.Catalog // nil until learned
	problem   error         // why known is missing or not complete, nil if it is neither
	learning  bool
	began     time.Time     // the last try
	failed    error         // what was wrong with it, nil if nothing was
	learned   chan struct{} // closed when the learning ends
	tries     int           // without success, so far
	refreshAt time.Time
}

// retryNow lets a failed try be repeated at once.
func (c *catalog) retryNow() {
	if c.tries > 0 {
		c.refreshAt = time.Time{}
	}
}

// retryLater puts the next try off, longer each time.
func (c *catalog) retryLater() {
	c.tries++
	c.refreshAt = time.Now().Add(backoff(c.tries))
}

func (e *Engine) restoreCatalog() {
	packages, learned, err := e.Cache.Load(e.Release)
	if err != nil {
		e.Log.Debug().Err(err).Msg("no catalog in the cache")
		return
	}
	e.catalog.known = NewCatalog(packages)
	e.catalog.refreshAt = learned.Add(catalogAge)
}

// learnCatalog asks the repositories about the running kernel when it is time.
func (e *Engine) learnCatalog() {
	c := &e.catalog
	if c.learning {
		return
	}
	if time.Now().Before(c.refreshAt) && !e.overtaken(c.began, c.failed) && !e.outside.configured.After(c.began) {
		e.wakeAt(c.refreshAt)
		return
	}
	c.learning, c.learned, c.began = true, make(chan struct{}), time.Now()
	var packages []dnfbridge.Package
	var unkept error
	e.start(
		func(ctx context.Context) (err error) {
			packages, err = e.Backend.KernelPackages(ctx, e.Release)
			packages = wanted(packages)
			if err == nil && len(NewCatalog(packages).NEVRAs()) > 0 {
				unkept = e.Cache.Save(e.Release, packages)
			}
			return err
		},
		func(err error) { e.learnedCatalog(packages, err, unkept) })
}

func (e *Engine) learnedCatalog(packages []dnfbridge.Package, err, unkept error) {
	c := &e.catalog
	c.learning, c.failed = false, err
	close(c.learned)
	e.used()
	defer giveBack()
	if err != nil {
		c.retryLater()
		e.Log.Warn().Str("event", "catalog-failed").Str("reason", string(reason.Of(err))).
			Msgf("cannot learn the packages of kernel %s, next try at %s: %v", e.Release, c.refreshAt.Format(time.TimeOnly), err)
		if c.known == nil || c.problem != nil {
			c.known, c.problem = NewCatalog(packages), err
		}
		return
	}
	c.known, c.problem = NewCatalog(packages), nil
	e.Log.Info().Str("event", "catalog-learned").Msgf("learned the packages of kernel %s", e.Release)
	if len(c.known.NEVRAs()) == 0 {
		c.retryLater() // they may come back; nothing worth keeping until then
		return
	}
	c.tries = 0
	c.refreshAt = time.Now().Add(catalogAge)
	if unkept != nil {
		e.Log.Warn().Str("event", "catalog-not-kept").Msgf("the catalog will have to be learned again after a restart: %v", unkept)
	}
}

// wanted leaves out the Provides that no decision needs: most of them, and the
// cache is on the guest's disk.
func wanted(packages []dnfbridge.Package) []dnfbridge.Package {
	packages = slices.Clone(packages)
	for i, p := range packages {
		packages[i].Provides = slices.DeleteFunc(slices.Clone(p.Provides), func(capability string) bool {
			name, _, _ := strings.Cut(capability, " ")
			return !strings.HasPrefix(capability, "modalias(pci:") &&
				!strings.HasPrefix(capability, "kmod(") && !strings.HasSuffix(name, "-uname-r")
		})
	}
	return packages
}

// NewCatalog makes the catalog of packages as a backend lists them.
func NewCatalog(packages []dnfbridge.Package) *plan.Catalog {
	var all []plan.Package
	for _, p := range packages {
		all = append(all, plan.Package{
			NEVRA: p.NEVRA, Repo: p.RepoID, Installed: p.Installed,
			DownloadSize: p.DownloadSize, InstallSize: p.InstallSize, Provides: p.Provides,
		})
	}
	return plan.NewCatalog(all)
}
