// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"driverd/dnfbridge"
	"driverd/reason"
)

// Commit is asked between the download and the transaction, once for each try,
// and has the last word.
func TestCommit(t *testing.T) {
	no := errors.New("cancelled")
	for name, test := range map[string]struct {
		items   []fakeItem
		only    bool
		says    error
		locked  bool // the package database is, always
		fetched int
		asked   int
		done    int
	}{
		"yes":                          {items: good().items, fetched: 1, asked: 1, done: 1},
		"no":                           {items: good().items, says: no, fetched: 1, asked: 1},
		"yes, and again":               {items: good().items, locked: true, fetched: 3, asked: 3, done: 3},
		"only a download":              {items: good().items, only: true, fetched: 1},
		"nothing to do":                {},
		"nothing to install":           {items: []fakeItem{newItem("Reason Change", "kernel-modules-sriov", "1-1")}, done: 1},
		"nothing to download":          {items: []fakeItem{newItem("Reason Change", "kernel-modules-sriov", "1-1")}, only: true},
		"what the guard does not like": {items: []fakeItem{newItem("Remove", "kernel-core", "1-1")}},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			f.items = test.items
			if test.locked {
				f.installed, f.do = nil, func(string) *dbus.Error { return busError("rpm transaction failed with code 3.") }
			}
			d, _ := f.serve(t)
			asked := 0
			transaction := plan
			transaction.DownloadOnly = test.only
			transaction.Commit = func([]string) error {
				asked++
				f.locked(func() {
					if f.fetched != asked || f.done != asked-1 {
						t.Errorf("asked after %d downloads and %d transactions", f.fetched, f.done)
					}
				})
				return test.says
			}
			err := d.Install(t.Context(), transaction, nil)
			if test.says != nil && (!errors.Is(err, test.says) || reason.Of(err) != reason.None) {
				t.Errorf("error is %v (%s)", err, reason.Of(err))
			}
			f.locked(func() {
				if f.fetched != test.fetched || asked != test.asked || f.done != test.done {
					t.Errorf("%d downloads, asked %d times, %d transactions; %v", f.fetched, asked, f.done, err)
				}
			})
		})
	}
}

// While it waits for the lock of the package database, nothing has begun: progress says
// so, and it can be stopped.
func TestStoppedWhileItWaitsForTheLock(t *testing.T) {
	f := good()
	f.installed, f.do = nil, func(string) *dbus.Error { return busError("rpm transaction failed with code 3.") }
	d, _ := f.serve(t, dnfbridge.Retry(2, time.Hour))
	ctx, stop := context.WithCancelCause(t.Context())
	no := errors.New("cancelled")
	committed := false
	transaction := plan
	transaction.Commit = func([]string) error { committed = true; return nil }
	err := d.Install(ctx, transaction, func(p dnfbridge.Progress) {
		if committed && p.Phase == dnfbridge.PhaseResolve {
			stop(no)
		}
	})
	if n := f.transactions(); !errors.Is(err, no) || n != 1 {
		t.Errorf("%v after %d transactions", err, n)
	}
}

// What another client of the server does to the session after the download is
// seen by the second look of the guard.
func TestSessionChangesDuringTheDownload(t *testing.T) {
	other := newItem("Install", "kernel-modules-sriov", "1-1")
	other.Object["repo_id"] = dbus.MakeVariant("other")
	for name, items := range map[string][]fakeItem{
		"what must not come":              {newItem("Install", "kernel-modules-sriov", "1-1"), newItem("Install", "foreign", "1-1")},
		"what may come, and is unchecked": {newItem("Install", "kernel-modules-sriov", "1-1"), newItem("Install", "kernel-modules-core", "1-1")},
		"the same from elsewhere":         {other},
		"something goes":                  {newItem("Install", "kernel-modules-sriov", "1-1"), newItem("Remove", "polkit", "1-1")},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			f.download = func(string) *dbus.Error {
				f.locked(func() { f.items = items })
				return nil
			}
			d, _ := f.serve(t)
			if err := d.Install(t.Context(), plan, nil); reason.Of(err) != reason.TransactionRefused {
				t.Errorf("error is %v (%s)", err, reason.Of(err))
			}
			if n := f.transactions(); n != 0 {
				t.Errorf("%d transactions were started", n)
			}
		})
	}
}

func TestResolveChangesNothing(t *testing.T) {
	f := good()
	f.items = append(f.items, newItem("Reason Change", "kernel-modules-sriov", "1-1"))
	d, _ := f.serve(t)
	got, err := d.Resolve(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]dnfbridge.Package{{NEVRA: wanted, Name: "kernel-modules-sriov", RepoID: "lab", DownloadSize: 1000}}, got); diff != "" {
		t.Error(diff)
	}
	f.locked(func() {
		if f.fetched+f.done > 0 {
			t.Errorf("%d downloads, %d transactions", f.fetched, f.done)
		}
	})
}

// What is not signed by a trusted key is not installed, whatever dnf would do.
func TestSignaturesAreChecked(t *testing.T) {
	f := good()
	f.unsigned = reason.With(reason.UntrustedPackage, errors.New("no key"))
	d, _ := f.serve(t)
	if err := d.Install(t.Context(), plan, nil); reason.Of(err) != reason.UntrustedPackage {
		t.Errorf("error is %v (%s)", err, reason.Of(err))
	}
	f.locked(func() {
		f.items = []fakeItem{newItem("Install", "kernel-modules-sriov", "1-1"), newItem("Install", "kernel-modules-core", "1-1")}
		f.unsigned = nil
	})
	if err := d.Install(t.Context(), plan, nil); err != nil {
		t.Error(err)
	}
	n := f.transactions()
	f.locked(func() {
		if n != 1 || len(f.verified) != 3 {
			t.Errorf("%d transactions after a look at %q", n, f.verified)
		}
	})
	// Nor is one whose file is nowhere to be found: what is called so is another one.
	f.locked(func() { f.items = []fakeItem{newItem("Install", "kernel-modules-gpu", "1:1-1")} })
	gpu := dnfbridge.Transaction{Install: []string{"kernel-modules-gpu-1:1-1.x86_64"}}
	if err := d.Install(t.Context(), gpu, nil); reason.Of(err) != reason.UntrustedPackage {
		t.Errorf("error is %v (%s)", err, reason.Of(err))
	}
}
