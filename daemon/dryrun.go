// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"driverd/daemon/jobs"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

const (
	// maxPlans is how many dry runs there can be at once. Everybody may ask for
	// one, and the package manager has few sessions to give.
	maxPlans = 2
	// planTime is how long a dry run may take.
	planTime = 4 * time.Minute
)

// Plan is what Install would do.
type Plan struct {
	Packages     []plan.Holder // those that are installed already among them
	DownloadSize int64
	InstallSize  int64
	Devices      []hwdetect.Slot // that it is for
}

// Plan says what Install would do for the selectors: the package manager is
// asked, with the same guard, and nothing is changed.
func (e *Engine) Plan(ctx context.Context, texts []string) (Plan, error) {
	selectors, err := parseSelectors(texts)
	if err != nil {
		return Plan{}, err
	}
	select {
	case e.plans <- struct{}{}:
		defer func() { <-e.plans }()
	default:
		return Plan{}, refuse(ErrBusy, "others are asking the same at the moment: try again in a few seconds")
	}
	var p Plan
	var t dnfbridge.Transaction
	var present []string
	var files jobs.Files
	var policy plan.Policy
	var known *plan.Catalog
	if err := e.choose(ctx, selectors, false, func(c choice) {
		p.Devices, present, known = c.slots, c.present, e.catalog.known
		files, policy = jobs.Files{Named: c.firmware, Asked: c.asked}, e.config.Policy
		t = dnfbridge.Transaction{Install: c.packages}
		if known != nil {
			t.Allowed = known.NEVRAs()
		}
		e.offers.transaction(&t)
	}); err != nil {
		return Plan{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, planTime, errors.New("it takes too long"))
	defer cancel()
	var packages []dnfbridge.Package
	lacks, err := e.withFirmware(ctx, t, files, policy, func(t dnfbridge.Transaction, _ []string) (err error) {
		packages, err = e.Backend.Resolve(ctx, t)
		return err
	})
	e.post(func() { e.idleBackend.used(time.Now()) })
	if err == nil && len(files.Asked) > 0 {
		err = lacks
	}
	if err != nil {
		return Plan{}, planRefusal(err)
	}
	p.addNew(packages, known)
	for _, nevra := range slices.Concat(t.Install, present) {
		p.addInstalled(nevra, known)
	}
	return p, nil
}

// planRefusal is the answer for what the package manager says.
func planRefusal(err error) error {
	switch reason.Of(err) {
	case reason.TransactionRefused:
		return refuse(ErrRefused, "%v", err)
	case reason.NoPackage, reason.Excluded, reason.FirmwareMissing:
		return refuse(ErrNoCandidate, "%v", err)
	}
	return refuse(ErrBackendFailed, "%v", err)
}

// addNew adds what would be installed.
func (p *Plan) addNew(packages []dnfbridge.Package, known *plan.Catalog) {
	for _, new := range packages {
		h := known.Holder(new.NEVRA)
		h.Repo, h.DownloadSize, h.InstallSize, h.Installed = new.RepoID, new.DownloadSize, new.InstallSize, false
		p.Packages = append(p.Packages, h)
		p.DownloadSize += new.DownloadSize
		p.InstallSize += new.InstallSize
	}
}

// addInstalled adds a package that was asked for and is not among the new ones.
func (p *Plan) addInstalled(nevra string, known *plan.Catalog) {
	if slices.ContainsFunc(p.Packages, func(h plan.Holder) bool { return h.NEVRA == nevra }) {
		return
	}
	h := known.Holder(nevra)
	h.Installed = true
	p.Packages = append(p.Packages, h)
}
