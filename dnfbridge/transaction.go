// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"

	"driverd/reason"
)

// Transaction says what to install, and what else may happen. Everything that
// is not in it must not happen.
type Transaction struct {
	Install []string // NEVRAs to install, as Package.NEVRA has them
	Allowed []string // NEVRAs that may come along as dependencies

	// Kernels are the releases of installed kernels, to whose builds all packages must
	// belong that are not in Others. Without one any may come, as long as it is named.
	Kernels []string
	// Others are packages that are of no kernel, each with the repositories that it may
	// come from: see Firmware.
	Others map[string][]string

	// Reinstall brings those of Install that are installed once more, as their files
	// may be spoilt, and leaves the others.
	Reinstall bool

	// Asked says that somebody has asked for it, whom no mode binds.
	Asked bool
	// Veto is asked about each package of a kernel that is to come, with its Provides.
	// Its error ends Install before anything is downloaded. Nil never says no.
	Veto func(nevra string, provides []string) error

	Into string // the folder that most of their files go to

	DownloadOnly bool // leave the packages in the package manager's cache

	// Commit is asked when everything is downloaded and nothing has been changed
	// yet, in each try, with the NEVRAs of all that is about to come. Its error, if
	// it has one, ends Install. It is not asked if there is nothing to install. Nil
	// never says no. What is about to come is checked once more after it, so that
	// nothing lies between the check and the transaction.
	Commit func(coming []string) error
}

// maxBackoff bounds the pause between two tries.
const maxBackoff = 30 * time.Second

// Resolve says what the transaction would install, and changes nothing. The
// reasons of its errors are those of Install.
func (d *DNF5) Resolve(ctx context.Context, t Transaction) ([]Package, error) {
	if len(t.Install) == 0 {
		return nil, nil
	}
	items, err := renewed(func(fresh bool) ([]item, error) { return d.dryRun(ctx, t, fresh) })
	if err != nil {
		return nil, fmt.Errorf("cannot plan to install %s: %w", strings.Join(t.Install, ", "), err)
	}
	var packages []Package
	for _, i := range items {
		if i.Action == actionInstall {
			packages = append(packages, i.asPackage())
		}
	}
	return packages, nil
}

func (d *DNF5) dryRun(ctx context.Context, t Transaction, fresh bool) ([]item, error) {
	a, err := d.begin(ctx, t, newTracker(nil), fresh)
	if err != nil {
		return nil, err
	}
	defer a.close()
	return a.checked(ctx)
}

// attempt is a session in which a transaction is tried once: a second one in the same
// session fails on stale state.
type attempt struct {
	*session
	Transaction
	before map[string]bool  // NEVRAs that were installed
	builds map[string]build // of the kernels
	from   sources          // of what comes, since it was resolved first; nil for a transaction without kernels
	vetoes map[string]error
}

func (d *DNF5) begin(ctx context.Context, t Transaction, track *tracker, fresh bool) (*attempt, error) {
	has, err := d.installed(ctx, t.Kernels)
	if err != nil {
		return nil, err
	}
	s, err := d.open(ctx, track, map[string]any{"config": t.config(has.nevras)}, fresh)
	if err != nil {
		return nil, err
	}
	return &attempt{session: s, Transaction: t, before: has.nevras, builds: has.builds}, nil
}

// Install runs one transaction and returns when the rpmdb shows its packages,
// which may be so although dnf reports a failure: a failed %post leaves its
// package installed. What is installed already is no error. Their files are then
// where a power failure does not reach them: rpm leaves them to the kernel's cache
// for half a minute, but not the rpmdb. It calls progress, which may be nil, from
// its own goroutine, never after it returned. When the package database is locked,
// progress begins anew, and Commit is asked again.
//
// Before it says that a package is not there, or is not what the metadata says, it has
// the metadata renewed, and tries once more in a new session.
//
// When ctx ends, Install returns at once with its cause, and without reason. A
// transaction that was under way then is finished by the server on its own;
// dnf5daemon has no way to stop it (Goal.cancel waits for its end since 5.3).
//
// The reason of an error is one of NoPackage, Excluded, RepoUnreachable,
// TransactionRefused, TransactionFailed, UntrustedPackage, NotAuthorized, NoSpace,
// BackendBusy and BackendMissing.
func (d *DNF5) Install(ctx context.Context, t Transaction, progress func(Progress)) error {
	if len(t.Install) == 0 {
		return nil
	}
	if t.Reinstall {
		has, err := d.installed(ctx, nil)
		if err != nil {
			return fmt.Errorf("cannot install %s again: %w", strings.Join(t.Install, ", "), err)
		}
		t.Install = slices.DeleteFunc(slices.Clone(t.Install), func(nevra string) bool { return !has.nevras[nevra] })
		if len(t.Install) == 0 {
			return nil
		}
	}
	pause := d.backoff
	for left := d.attempts - 1; ; left-- {
		_, err := renewed(func(fresh bool) (struct{}, error) { return struct{}{}, d.try(ctx, t, progress, fresh) })
		if err == nil && !t.DownloadOnly {
			err = flush(t.Into)
		}
		if err == nil {
			return nil
		}
		var again *lockedError
		if left <= 0 || !errors.As(err, &again) {
			return fmt.Errorf("cannot install %s: %w", strings.Join(t.Install, ", "), err)
		}
		d.log.Debug().Err(err).Dur("pause", pause).Msg("package manager is busy, trying again")
		newTracker(progress).step(PhaseResolve, "", 0) // whatever was to come has not begun
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("cannot install %s: %w", strings.Join(t.Install, ", "), context.Cause(ctx))
		}
		pause = min(2*pause, maxBackoff)
	}
}

// lockedError marks an error that a later try may not meet.
type lockedError struct{ error }

func (e *lockedError) Unwrap() error { return e.error }

// try runs the transaction once.
func (d *DNF5) try(ctx context.Context, t Transaction, progress func(Progress), fresh bool) error {
	track := newTracker(progress)
	track.step(PhaseResolve, "", 0)
	a, err := d.begin(ctx, t, track, fresh)
	if err != nil {
		return err
	}
	defer a.close()

	items, err := a.checked(ctx)
	if err != nil {
		return err
	}
	nevras := coming(items)
	size := int64(0)
	for _, i := range items {
		if i.comes() {
			size += i.size("install_size")
			track.state.BytesTotal += i.downloadSize()
		}
	}
	if len(nevras) == 0 && (len(items) == 0 || t.DownloadOnly) {
		track.step(PhaseVerify, "", 1)
		return nil
	}
	if len(nevras) > 0 {
		track.step(PhaseDownload, "", resolved)
		if err := a.transact(ctx, map[string]any{"downloadonly": true}); err != nil {
			return cmp.Or(room(cacheDir, track.toFetch()), track.explain(err))
		}
		if t.DownloadOnly {
			track.step(PhaseDownload, "", 1)
			return nil
		}
		if err := room(t.Into, size); err != nil {
			return err
		}
		if err := a.checkSignatures(ctx, d.verify, d.root, items); err != nil {
			return err
		}
		if t.Commit != nil {
			if err := t.Commit(nevras); err != nil {
				return err
			}
		}
		// Resolved and checked anew, right before it happens, with nothing in between:
		// another client of the server may have changed the session.
		now, err := a.checked(ctx)
		if err != nil {
			return err
		}
		if !slices.Equal(origins(items), origins(now)) {
			return reason.With(reason.TransactionRefused, errors.New("the transaction has changed since its packages were checked, somebody may use this session of dnf5daemon"))
		}
	}
	ran := a.transact(ctx, nil)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.As(ran, new(*silentError)) {
		return track.explain(ran) // and would be silent again
	}

	track.step(PhaseVerify, "", installed)
	has, err := d.installed(ctx, nil)
	if err != nil {
		return cmp.Or(track.explain(ran), err)
	}
	after := has.nevras
	missing := slices.DeleteFunc(slices.Clone(t.Install), func(nevra string) bool {
		return after[nevra] && (!t.Reinstall || slices.Contains(track.unpacked, nevra))
	})
	switch {
	case len(missing) == 0:
		if ran != nil {
			d.log.Warn().Str("event", "packages-incomplete").Strs("packages", t.Install).
				Msgf("the packages are installed, but dnf reported a failure: %v", track.explain(ran))
		}
		d.compare(t, a.before, after)
		track.step(PhaseVerify, "", 1)
		return nil
	case ran != nil:
		return track.explain(ran)
	}
	return reason.With(reason.TransactionFailed,
		fmt.Errorf("dnf reported success, but has not installed %s", strings.Join(missing, ", ")))
}

// transact does what was resolved.
func (s *session) transact(ctx context.Context, options map[string]any) error {
	all := variants(options)
	all["interactive"] = dbus.MakeVariant(false)
	return s.call(ctx, doTransaction, []any{all})
}

// config returns the dnf settings of the session. All of them are among those
// that any user may set.
func (t Transaction) config(installed map[string]bool) map[string]string {
	include := slices.Concat(t.Install, t.Allowed)
	names := make(map[string]bool)
	for _, nevra := range include {
		names[nameOf(nevra)] = true
	}
	for nevra := range installed {
		// libdnf5 has rpm allow what is older than an installed build of the same
		// name only if it sees that one.
		if names[nameOf(nevra)] {
			include = append(include, nevra)
		}
	}
	slices.Sort(include)
	include = slices.Compact(include)
	return map[string]string{
		"install_weak_deps": "0",
		// A fourth installed build must not push out the oldest.
		"installonly_limit": "0",
		// Also keeps dnf from removing what is installed to solve a conflict,
		// which it does in spite of allow_erasing=false. What is installed
		// still provides what new packages require.
		"includepkgs": strings.Join(include, ","),
	}
}

// checked resolves the transaction and lets the guard see it.
func (a *attempt) checked(ctx context.Context) ([]item, error) {
	items, err := a.resolve(ctx)
	if err != nil {
		return nil, err
	}
	nevras := coming(items)
	if len(a.Kernels) > 0 && a.from == nil {
		if a.from, a.vetoes, err = a.sources(ctx, nevras); err != nil {
			return nil, err
		}
	}
	for _, nevra := range nevras {
		if err := a.vetoes[nevra]; err != nil {
			return nil, err
		}
	}
	return items, a.guard(items)
}

// resolve marks the packages and returns what dnf would do to install them.
func (a *attempt) resolve(ctx context.Context) ([]item, error) {
	mark := markInstall
	if a.Reinstall {
		mark = markReinstall
	}
	if err := a.call(ctx, mark, []any{a.Install, variants(nil)}); err != nil {
		return nil, a.track.explain(err)
	}
	var items []item
	var result uint32
	options := map[string]any{"allow_erasing": false, "interactive": false}
	if err := a.call(ctx, resolve, []any{variants(options)}, &items, &result); err != nil {
		return nil, a.track.explain(err)
	}
	if result != resolveFailed {
		return items, nil
	}
	return nil, a.unresolved(ctx, a.track)
}

// resolveFailed is the result of a failed Goal.resolve; 0 and 1, which comes
// with remarks ("is already installed"), are success.
const resolveFailed = 2

// compare reports what changed in the rpmdb that the transaction does not
// account for. It is no failure: an administrator may have used dnf meanwhile.
func (d *DNF5) compare(t Transaction, before, after map[string]bool) {
	var changed []string
	for nevra := range after {
		if !before[nevra] && !slices.Contains(t.Install, nevra) && !slices.Contains(t.Allowed, nevra) {
			changed = append(changed, "+"+nevra)
		}
	}
	for nevra := range before {
		if !after[nevra] {
			changed = append(changed, "-"+nevra)
		}
	}
	if len(changed) > 0 {
		slices.Sort(changed)
		d.log.Warn().Str("event", "packages-changed").Msgf("the package database changed by more than this transaction: %s", strings.Join(changed, " "))
	}
}
