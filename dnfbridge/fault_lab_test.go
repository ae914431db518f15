// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"driverd/dnfbridge"
	"driverd/lab/rpmrepo"
	"driverd/reason"
)

func TestDownloadFails(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	if _, err := d.KernelPackages(t.Context(), release, false); err != nil { // the metadata is there
		t.Fatal(err)
	}
	for name, fault := range map[string]rpmrepo.Fault{"dropped": rpmrepo.Refuse, "not found": rpmrepo.NotFound} {
		t.Run(name, func(t *testing.T) {
			g.repo.Fail(".rpm", fault)
			err := d.Install(t.Context(), install("kernel-modules-sriov"), nil)
			if reason.Of(err) != reason.RepoUnreachable {
				t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.RepoUnreachable)
			}
			t.Log(err)
		})
	}
	g.repo.Fail("", rpmrepo.NoFault)
	if err := d.Install(t.Context(), install("kernel-modules-sriov"), nil); err != nil {
		t.Errorf("after the repository came back: %v", err)
	}
}

func TestInstallWithoutRepository(t *testing.T) {
	g := newGuest(t)
	g.forgetMetadata(t, false)
	g.repo.Fail("", rpmrepo.Refuse)
	err := g.backend(0).Install(t.Context(), install("kernel-modules-sriov"), nil)
	if reason.Of(err) != reason.RepoUnreachable {
		t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.RepoUnreachable)
	}
}

// A repository that takes the connection and says nothing: the caller can give
// it up at once, and the watchdog does, although dnf signals every second that
// nothing came.
func TestRepositoryStalls(t *testing.T) {
	g := newGuest(t)
	g.forgetMetadata(t, false)
	g.repo.Fail("", rpmrepo.Stall)
	ctx, cancel := context.WithCancel(t.Context())
	stalled := make(chan error, 1)
	go func() {
		_, err := g.backend(0).KernelPackages(ctx, release, false)
		stalled <- err
	}()
	if err := g.repo.WaitFor(t.Context(), "repomd.xml"); err != nil {
		t.Fatal(err)
	}
	cancel()
	within(t, time.Second, "a cancelled KernelPackages", func() {
		if err := <-stalled; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled KernelPackages returned %v", err)
		}
	})
	d := g.backend(0, dnfbridge.Silence(3*time.Second))
	within(t, 10*time.Second, "a listing over a stalled repository", func() {
		_, err := d.KernelPackages(t.Context(), release, false)
		if reason.Of(err) != reason.RepoUnreachable {
			t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.RepoUnreachable)
		}
		t.Log(err)
	})
}

// Another program's transaction is waited for, in tries.
func TestLockHeldByAnother(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0, dnfbridge.Retry(50, 100*time.Millisecond))
	done := g.background(t, "dnf5", "-y", "install", nevra("kernel-modules-slow"))
	g.waitForFile(t, "/run/post-runs")

	t.Run("too long", func(t *testing.T) {
		once := g.backend(0, dnfbridge.Retry(1, 0))
		err := once.Install(t.Context(), install("kernel-modules-gpu"), nil)
		if reason.Of(err) != reason.BackendBusy {
			t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.BackendBusy)
		}
		t.Log(err)
	})

	installed := make(chan error, 1)
	go func() { installed <- d.Install(t.Context(), install("kernel-modules-sriov"), nil) }()
	if err := g.repo.WaitFor(t.Context(), nevra("kernel-modules-sriov")+".rpm"); err != nil { // past its download: at the lock
		t.Fatal(err)
	}
	select {
	case err := <-installed:
		t.Fatalf("Install did not wait: %v", err)
	default:
	}
	g.run(t, "touch", "/run/go-on")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-installed; err != nil {
		t.Error(err)
	}
	if got := g.installed(t); !slices.Contains(got, nevra("kernel-modules-sriov")) {
		t.Errorf("installed are %v", got)
	}
}

// slow starts to install a package whose %post waits, and returns when it does.
func (g *guest) slow(t *testing.T, ctx context.Context, d *dnfbridge.DNF5) <-chan error {
	t.Helper()
	scripts, result := make(chan struct{}, 9), make(chan error, 1)
	go func() {
		result <- d.Install(ctx, install("kernel-modules-slow"), func(p dnfbridge.Progress) {
			if p.Phase == dnfbridge.PhaseScript {
				scripts <- struct{}{}
			}
		})
	}()
	select {
	case <-scripts:
	case err := <-result:
		t.Fatalf("Install ended early: %v", err)
	}
	g.waitForFile(t, "/run/post-runs")
	return result
}

func TestCancelledTransaction(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	ctx, cancel := context.WithCancel(t.Context())
	result := g.slow(t, ctx, d)
	cancel()
	within(t, time.Second, "a cancelled Install", func() {
		if err := <-result; !errors.Is(err, context.Canceled) || reason.Of(err) != reason.None {
			t.Errorf("a cancelled Install returned %v", err)
		}
	})
	// The server goes on, and the next one waits for it.
	g.run(t, "touch", "/run/go-on")
	if err := d.Install(t.Context(), install("kernel-modules-sriov"), nil); err != nil {
		t.Error(err)
	}
	got := g.installed(t)
	if !slices.Contains(got, nevra("kernel-modules-slow")) || !slices.Contains(got, nevra("kernel-modules-sriov")) {
		t.Errorf("installed are %v", got)
	}
}

func TestServerDies(t *testing.T) {
	t.Run("while it downloads", func(t *testing.T) {
		g := newGuest(t)
		d := g.backend(0)
		if _, err := d.KernelPackages(t.Context(), release, false); err != nil {
			t.Fatal(err)
		}
		g.repo.Fail(".rpm", rpmrepo.Stall)
		result := make(chan error, 1)
		go func() { result <- d.Install(t.Context(), install("kernel-modules-sriov"), nil) }()
		if err := g.repo.WaitFor(t.Context(), nevra("kernel-modules-sriov")+".rpm"); err != nil {
			t.Fatal(err)
		}
		g.kill(t)
		within(t, 5*time.Second, "Install", func() {
			err := <-result
			if reason.Of(err) != reason.BackendMissing {
				t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.BackendMissing)
			}
			t.Log(err)
		})
		g.repo.Fail("", rpmrepo.NoFault)
		if err := d.Install(t.Context(), install("kernel-modules-sriov"), nil); err != nil {
			t.Errorf("the next Install: %v", err)
		}
	})
	t.Run("in a scriptlet of a package that is there", func(t *testing.T) {
		g := newGuest(t)
		result := g.slow(t, t.Context(), g.backend(0))
		g.kill(t)
		within(t, 5*time.Second, "Install", func() {
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
		if got := g.installed(t); !slices.Contains(got, nevra("kernel-modules-slow")) {
			t.Errorf("installed are %v", got)
		}
	})
}

func TestNoServer(t *testing.T) {
	g := newGuest(t)
	g.run(t, "rm", "/usr/share/dbus-1/system-services/org.rpm.dnf.v0.service")
	_, err := g.backend(0).KernelPackages(t.Context(), release, false)
	if reason.Of(err) != reason.BackendMissing {
		t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.BackendMissing)
	}
	t.Log(err)
}
