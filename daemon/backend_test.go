// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"slices"
	"time"

	"driverd/dnfbridge"
)

func (w *world) Name() string                       { return "fake" }
func (w *world) Names(_, _ uint16) (string, string) { return "", "" }

func (w *world) KernelPackages(ctx context.Context, of string, fresh bool) (dnfbridge.Listing, error) {
	w.mu.Lock()
	w.listings++
	if fresh {
		w.renewals++
	}
	on := w.onList
	w.mu.Unlock()
	if on != nil {
		if err := on(ctx); err != nil {
			return dnfbridge.Listing{}, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if fresh && w.onRenew != nil {
		w.onRenew()
	}
	if of != release {
		return dnfbridge.Listing{Packages: w.later}, nil
	}
	return dnfbridge.Listing{Packages: w.packages}, nil
}

// Resolve finds the packages that no Install has brought yet.
func (w *world) Resolve(_ context.Context, t dnfbridge.Transaction) ([]dnfbridge.Package, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.onResolve != nil {
		return nil, w.onResolve
	}
	var new []dnfbridge.Package
	for _, nevra := range t.Install {
		if !w.has[nevra] {
			new = append(new, dnfbridge.Package{NEVRA: nevra, RepoID: "lab", DownloadSize: 100, InstallSize: 1000})
		}
	}
	return new, nil
}

// Install takes ten seconds, half of them for the download, and gives the kernel the modules of the packages.
func (w *world) Install(ctx context.Context, t dnfbridge.Transaction, progress func(dnfbridge.Progress)) error {
	w.mu.Lock()
	w.installs = append(w.installs, slices.Clone(t.Install))
	w.allowed = t.Allowed
	on := w.onInstall
	w.mu.Unlock()
	news, _ := w.Resolve(ctx, t)
	if t.Reinstall {
		news = nil
		for _, nevra := range t.Install {
			if w.has[nevra] {
				news = append(news, dnfbridge.Package{NEVRA: nevra})
			}
		}
	}
	if len(news) == 0 && on == nil {
		return nil
	}
	progress(dnfbridge.Progress{Phase: dnfbridge.PhaseDownload, BytesTotal: 100})
	for _, step := range w.steps {
		progress(step)
	}
	if err := spend(ctx, 5*time.Second); err != nil || t.DownloadOnly {
		return err
	}
	if err := t.Commit(t.Install); err != nil {
		return err
	}
	if w.locked { // and so it begins anew
		w.locked = false
		progress(dnfbridge.Progress{Phase: dnfbridge.PhaseResolve})
		if err := spend(ctx, 30*time.Second); err != nil {
			return err
		}
		if err := t.Commit(t.Install); err != nil {
			return err
		}
	}
	w.change(func() { w.commits++ })
	progress(dnfbridge.Progress{Phase: dnfbridge.PhaseInstall, BytesDone: 100, BytesTotal: 100, Fraction: 0.5})
	if err := spend(ctx, 2*time.Second); err != nil {
		return err
	}
	for _, d := range []driver{igb, mega} {
		if w.early && slices.Contains(t.Install, d.nevra) {
			w.change(func() { w.unpacked[d.alias] = d.module })
			progress(dnfbridge.Progress{Phase: dnfbridge.PhaseUnpacked, Package: d.nevra, Fraction: 0.7})
		}
	}
	if err := spend(ctx, 3*time.Second); err != nil {
		return err
	}
	if on != nil {
		if err := on(t.Install); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	next := &kernel{w.installed.builtIn, map[string]string{}, w.installed.shipped, w.installed.also}
	for alias, module := range w.installed.installed {
		next.installed[alias] = module
	}
	w.spoilt = w.spoilt && !t.Reinstall
	for _, nevra := range t.Install {
		w.has[nevra] = true
		w.unpackFirmware(nevra)
	}
	for _, d := range []driver{igb, mega} {
		if slices.Contains(t.Install, d.nevra) {
			next.installed[d.alias] = d.module
		}
	}
	w.installed = next
	return nil
}

func (w *world) InstalledEarlier(ctx context.Context) ([]string, error) {
	return w.earlier, spend(ctx, w.earlierTakes)
}

func (w *world) StopIfUnused(context.Context) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rests++
	return !w.busy, nil
}
