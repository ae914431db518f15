// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"driverd/dnfbridge"
	"driverd/lab/rpmrepo"
	"driverd/reason"
)

// TestCancelDuringASlowDownload ends an Install while its package trickles in:
// at once, with nothing installed, and the next one works. dnf5daemon does not
// know that it was cancelled and downloads on, so the next Install waits for it;
// what is downloaded by then is used.
func TestCancelDuringASlowDownload(t *testing.T) {
	g := newGuest(t)
	before := g.installed(t)
	d := g.backend(0)
	if _, err := d.KernelPackages(t.Context(), release, false); err != nil { // the metadata is there
		t.Fatal(err)
	}
	g.repo.Fail(".rpm", rpmrepo.Slow)
	ctx, cancel := context.WithCancelCause(t.Context())
	trickles, result := make(chan struct{}, 1), make(chan error, 1)
	committed := false
	plan := install("kernel-modules-large")
	plan.Commit = func([]string) error {
		committed = true
		return nil
	}
	go func() {
		result <- d.Install(ctx, plan, func(p dnfbridge.Progress) {
			if p.Phase == dnfbridge.PhaseDownload && p.BytesDone > 0 && p.BytesDone < p.BytesTotal {
				select {
				case trickles <- struct{}{}:
				default:
				}
			}
		})
	}()
	select {
	case <-trickles:
	case err := <-result:
		t.Fatalf("Install ended early: %v", err)
	}
	cause := errors.New("cancelled")
	cancel(cause)
	within(t, 2*time.Second, "a cancelled Install", func() {
		if err := <-result; !errors.Is(err, cause) || reason.Of(err) != reason.None {
			t.Errorf("a cancelled Install returned %v", err)
		}
	})
	if got := g.installed(t); committed || !slices.Equal(got, before) {
		t.Errorf("committed: %t, installed are %v", committed, got)
	}
	within(t, time.Minute, "the next Install, with the server still at the download of the last", func() {
		if err := d.Install(t.Context(), install("kernel-modules-large"), nil); err != nil {
			t.Error(err)
		}
	})
	want := append(before, nevra("kernel-modules-large"))
	slices.Sort(want)
	if got := g.installed(t); !slices.Equal(got, want) {
		t.Errorf("installed are %v, want %v", got, want)
	}
}

// The last word before anything changes is Commit's.
func TestCommitSaysNo(t *testing.T) {
	g := newGuest(t)
	before := g.installed(t)
	no := errors.New("somebody has cancelled")
	plan := install("kernel-modules-sriov")
	plan.Commit = func([]string) error {
		if err := g.repo.WaitFor(t.Context(), nevra("kernel-modules-sriov")+".rpm"); err != nil {
			t.Errorf("asked before the download: %v", err)
		}
		return no
	}
	if err := g.backend(0).Install(t.Context(), plan, nil); !errors.Is(err, no) {
		t.Errorf("Install returned %v", err)
	}
	if got := g.installed(t); !slices.Equal(got, before) {
		t.Errorf("installed are %v", got)
	}
	asked := 0
	plan.Commit = func([]string) error {
		asked++
		return nil
	}
	g.repo.Fail(".rpm", rpmrepo.NotFound) // it is in the cache
	if err := g.backend(0).Install(t.Context(), plan, nil); err != nil || asked != 1 {
		t.Errorf("the next Install: %v, asked %d times", err, asked)
	}
	if err := g.backend(0).Install(t.Context(), plan, nil); err != nil || asked != 1 {
		t.Errorf("an Install of what is there: %v, asked %d times", err, asked)
	}
}

func TestDownloadOnly(t *testing.T) {
	g := newGuest(t)
	before := g.installed(t)
	plan := install("kernel-modules-sriov")
	plan.DownloadOnly = true
	plan.Commit = func([]string) error {
		t.Error("asked, with nothing to change")
		return nil
	}
	var last dnfbridge.Progress
	if err := g.backend(0).Install(t.Context(), plan, func(p dnfbridge.Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	if got := g.installed(t); !slices.Equal(got, before) {
		t.Errorf("installed are %v", got)
	}
	if last.Fraction != 1 || last.BytesDone == 0 || last.BytesDone != last.BytesTotal {
		t.Errorf("the last step is %+v", last)
	}
	g.repo.Fail(".rpm", rpmrepo.NotFound)
	plan.DownloadOnly, plan.Commit = false, nil
	if err := g.backend(0).Install(t.Context(), plan, nil); err != nil {
		t.Errorf("what was downloaded is not used: %v", err)
	}
}

// Resolve says what Install would do, with the same guard, and asks nobody's
// leave: a user without any right may plan.
func TestResolve(t *testing.T) {
	g := newGuest(t)
	before := g.installed(t)
	const nobody = 65534
	d := g.backend(nobody)
	packages, err := d.Resolve(t.Context(), install("kernel-modules-needs-gpu", "kernel-modules-core"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range packages {
		names = append(names, p.NEVRA)
		if p.RepoID != "kernel" || p.DownloadSize <= 0 || p.InstallSize <= 0 {
			t.Errorf("%+v", p)
		}
	}
	slices.Sort(names)
	if want := []string{nevra("kernel-modules-gpu"), nevra("kernel-modules-needs-gpu")}; !slices.Equal(names, want) {
		t.Errorf("planned are %v, want %v", names, want)
	}
	for name, test := range map[string]struct {
		install dnfbridge.Transaction
		reason  reason.Reason
	}{
		"a foreign dependency":         {install("kernel-modules-foreign"), reason.TransactionRefused},
		"a package that nobody has":    {install("kernel-modules-none"), reason.NoPackage},
		"a dependency that is missing": {install("kernel-modules-broken"), reason.TransactionFailed},
	} {
		_, err := d.Resolve(t.Context(), test.install)
		if reason.Of(err) != test.reason || !strings.HasPrefix(err.Error(), "cannot plan to install ") {
			t.Errorf("%s: %v (%s)", name, err, reason.Of(err))
		}
	}
	if packages, err := d.Resolve(t.Context(), dnfbridge.Transaction{}); err != nil || packages != nil {
		t.Errorf("nothing: %v, %v", packages, err)
	}
	if got := g.installed(t); !slices.Equal(got, before) {
		t.Errorf("installed are %v", got)
	}
}
