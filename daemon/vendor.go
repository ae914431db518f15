// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"maps"
	"slices"
	"time"

	"driverd/daemon/ledger"
	"driverd/dnfbridge"
	"driverd/plan"
	"driverd/reason"
)

// offers is what is known of vendors' drivers for one kernel. It is asked for when a device
// is there that one is for: the others cost nothing.
type offers struct {
	engine       *Engine
	release      string
	known        map[string]plan.VendorOffer    // by the name of the vendor's driver
	allowed      map[string]map[string][]string // what may come for it, with its repositories
	wanted       map[string]bool                // that devices are there for
	at           time.Time
	repositories string        // as they were configured then
	vendors      []plan.Vendor // as they were then
	learned      chan struct{} // closed when the asking ends that goes on, or went on last
}

// want notes that a device is there that a vendor's driver is for.
func (o *offers) want(name string) {
	if o.wanted == nil {
		o.wanted = make(map[string]bool)
	}
	o.wanted[name] = true
}

// forget has everything learned anew.
func (o *offers) forget() { o.known = nil }

// lastTry is the last time that it was asked.
func (o *offers) lastTry() ledger.Try { return o.engine.ledger.Get(ledger.Offers(o.release)) }

// Step asks about what is wanted and not known, and returns when it wants to be called
// again. The answer is a day old at most, of the repositories and drop-ins as they are, and
// calls nothing installed whose module was removed since.
func (o *offers) Step(now time.Time) (wake time.Time) {
	e, try := o.engine, o.lastTry()
	if len(o.wanted) == 0 || try.Running() {
		return time.Time{}
	}
	same := slices.EqualFunc(o.vendors, e.config.Vendors, func(a, b plan.Vendor) bool {
		return a.Name == b.Name && a.Build == b.Build && slices.Equal(a.Kmods, b.Kmods) && slices.Equal(a.Companions, b.Companions) && slices.Equal(a.Depends, b.Depends)
	})
	if o.repositories != e.repositories || !same || !now.Before(o.at.Add(catalogAge)) || o.moduleIsGone() {
		o.forget()
	}
	var missing []plan.Vendor
	concerned, failed := false, false
	for _, v := range e.config.Vendors {
		if !o.wanted[v.Name] {
			continue
		}
		concerned = true
		switch offer, ok := o.known[v.Name]; {
		case !ok, offer.Problem != nil && (!try.Failed() || try.Due(now, e.changes)): // the last try was about another one, or is due
			missing = append(missing, v)
		case offer.Problem != nil:
			failed = true
		}
	}
	switch {
	case len(missing) > 0:
		o.learn(missing, now)
		return time.Time{}
	case !concerned: // by what has no drop-in any more
		return time.Time{}
	case failed && !try.RetryAt.IsZero():
		return try.RetryAt
	}
	return o.at.Add(catalogAge)
}

// moduleIsGone says whether a device lacks the module of an enabled vendor's driver that is
// installed as far as known, and the modules on the disk have changed since that was learned.
// What is known for the next kernel is forgotten whenever its modules change.
func (o *offers) moduleIsGone() bool {
	e := o.engine
	if o.release != e.Release || !e.changes.Modules.After(o.at) {
		return false
	}
	f := e.facts()
	for _, d := range e.devices {
		v, ok := f.EnabledFor(d.Device)
		if kmod, _ := o.known[v.Name].Kmod(); ok && kmod.Installed && !f.HasModule(d.Device, v) {
			return true
		}
	}
	return false
}

func (o *offers) learn(vendors []plan.Vendor, now time.Time) {
	e, key := o.engine, ledger.Offers(o.release)
	e.ledger.Begin(key, 0, now, ledger.Try{})
	o.at, o.repositories, o.vendors, o.learned = now, e.repositories, e.config.Vendors, make(chan struct{})
	known, allowed := make(map[string]plan.VendorOffer), make(map[string]map[string][]string)
	e.start(
		func(ctx context.Context) (problem error) {
			for _, v := range vendors {
				l, err := FindVendor(ctx, e.Backend, o.release, v)
				known[v.Name] = OfferOf(l, err)
				allowed[v.Name] = l.Allowed
				if problem == nil {
					problem = err
				}
			}
			return problem
		},
		func(err error) {
			e.ledger.End(key, 0, time.Now(), err)
			close(o.learned)
			e.idleBackend.used(time.Now())
			maps.Copy(known, without(o.known, known))
			maps.Copy(allowed, without(o.allowed, allowed))
			o.known, o.allowed = known, allowed // facts that were handed out have the old ones
			giveBack()
		})
}

// without are the entries of a map that another one does not have.
func without[V any](all, others map[string]V) map[string]V {
	rest := maps.Clone(all)
	maps.DeleteFunc(rest, func(name string, _ V) bool { _, ok := others[name]; return ok })
	return rest
}

// VendorFinder looks for the packages of a vendor's driver; see dnfbridge.DNF5.VendorPackages.
type VendorFinder interface {
	VendorPackages(ctx context.Context, release string, v dnfbridge.Vendor, fresh bool) (dnfbridge.VendorListing, error)
}

// FindVendor finds the packages of a vendor's driver. The metadata is renewed before there is
// said to be none for a kernel.
func FindVendor(ctx context.Context, packages VendorFinder, release string, v plan.Vendor) (dnfbridge.VendorListing, error) {
	l, err := packages.VendorPackages(ctx, release, packagesOf(v), false)
	if err == nil && len(l.Packages) == 0 {
		l, err = packages.VendorPackages(ctx, release, packagesOf(v), true)
	}
	return l, withReason(reason.TransactionFailed, err)
}

// OfferOf is what was found of a vendor's driver, as decisions take it.
func OfferOf(l dnfbridge.VendorListing, problem error) plan.VendorOffer {
	return plan.VendorOffer{Packages: planPackages(l.Packages), Refused: l.Refused, Problem: problem}
}

// packagesOf are the names that a vendor's drop-in gives.
func packagesOf(v plan.Vendor) dnfbridge.Vendor {
	return dnfbridge.Vendor{Kmods: v.Kmods, Companions: v.Companions, Depends: v.Depends, Build: v.Build}
}

// transaction completes a transaction with what may come for the vendors' drivers in it.
func (o *offers) transaction(t *dnfbridge.Transaction) {
	for _, v := range o.engine.config.Vendors {
		if !v.Enabled || !slices.ContainsFunc(t.Install, func(nevra string) bool { return o.allowed[v.Name][nevra] != nil }) {
			continue
		}
		if t.Others == nil {
			t.Others = make(map[string][]string)
		}
		for _, nevra := range slices.Sorted(maps.Keys(o.allowed[v.Name])) {
			if _, known := t.Others[nevra]; !known {
				t.Allowed = append(t.Allowed, nevra)
			}
			t.Others[nevra] = o.allowed[v.Name][nevra]
		}
	}
}

// installed notes that packages are installed.
func (o *offers) installed(nevras []string) {
	known := make(map[string]plan.VendorOffer) // facts that were handed out have the old one
	for name, offer := range o.known {
		offer.Packages = slices.Clone(offer.Packages)
		for i, p := range offer.Packages {
			offer.Packages[i].Installed = p.Installed || slices.Contains(nevras, p.NEVRA)
		}
		known[name] = offer
	}
	o.known = known
}

// noteVendors notes in the history which vendors' drivers have been enabled or disabled since
// the last look. Only root can do so, in files that are looked at like the hardware. A history
// that could not be read does not tell which were enabled: it begins with those that are.
func (e *Engine) noteVendors() {
	before, now := e.history.vendors, []string{}
	for _, v := range e.config.Vendors {
		if v.Enabled {
			now = append(now, v.Name)
		}
	}
	slices.Sort(now)
	if before != nil && slices.Equal(before, now) {
		return
	}
	e.history.vendors = now
	if before == nil {
		e.changedHistory()
		return
	}
	for _, name := range union(before, now) {
		action := "enable-vendor"
		switch was, is := slices.Contains(before, name), slices.Contains(now, name); {
		case was && is:
			continue
		case was:
			action = "disable-vendor"
		}
		e.Log.Info().Str("event", "vendor-changed").Msgf("%s: the vendor's driver %s", action, name)
		e.note(Entry{Action: action, Origin: "uid:0", State: JobDone, Message: "the vendor's driver " + name, Began: time.Now()})
	}
	e.offers.forget()
}
