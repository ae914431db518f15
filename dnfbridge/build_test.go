// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"driverd/dnfbridge"
	"driverd/reason"
)

// built is a package of a build of kernel 1-1, as Rpm.list tells it.
func built(name, repo, version, vendor string) map[string]dbus.Variant {
	p := listed(name+"-"+version+"-1.x86_64", name, repo, repo == "@System", name+"-uname-r = 1-1", "modalias(pci:v*)")
	p["version"], p["release"], p["arch"] = dbus.MakeVariant(version), dbus.MakeVariant("1"), dbus.MakeVariant("x86_64")
	p["vendor"] = dbus.MakeVariant(vendor)
	return p
}

// What only says that it is of the running kernel gets nowhere: neither into the
// catalog, nor past the guard.
func TestOnlyTheBuildOfTheRunningKernel(t *testing.T) {
	core := built("kernel-core", "@System", "1", "Lab")
	for name, test := range map[string]struct {
		listed []map[string]dbus.Variant
		repo   string // that the transaction would take it from
		says   string // in the refusal, empty if there must be none
	}{
		"of the build":                {[]map[string]dbus.Variant{core, built("kernel-modules-sriov", "lab", "1", "Lab")}, "lab", ""},
		"in two repositories":         {[]map[string]dbus.Variant{core, built("kernel-modules-sriov", "a", "1", "Lab"), built("kernel-modules-sriov", "lab", "1", "Lab")}, "lab", ""},
		"from another repository":     {[]map[string]dbus.Variant{core, built("kernel-modules-sriov", "lab", "1", "Lab"), built("kernel-modules-sriov", "evil", "1", "Evil")}, "evil", "from the repository evil, and not from lab"},
		"from one that nobody listed": {[]map[string]dbus.Variant{core, built("kernel-modules-sriov", "lab", "1", "Lab")}, "evil", "from the repository evil, and not from lab"},
		"of another vendor":           {[]map[string]dbus.Variant{core, built("kernel-modules-sriov", "lab", "1", "Evil")}, "lab", "not of this build"},
		"of another version":          {[]map[string]dbus.Variant{built("kernel-core", "@System", "2", "Lab"), built("kernel-modules-sriov", "lab", "1", "Lab")}, "lab", "not of this build"},
		"of nothing":                  {[]map[string]dbus.Variant{core}, "lab", "not of this build"},
		"no kernel is installed":      {[]map[string]dbus.Variant{built("kernel-modules-sriov", "lab", "1", "Lab")}, "lab", "no one installed package owns it"},
		"two own the kernel":          {[]map[string]dbus.Variant{core, built("kernel-core", "@System", "1", "Evil")}, "lab", "no one installed package owns it"},
	} {
		t.Run(name, func(t *testing.T) {
			f := good()
			f.available = test.listed
			f.items[0].Object["repo_id"] = dbus.MakeVariant(test.repo)
			d, _ := f.serve(t)
			transaction := plan
			transaction.Kernels = []string{"1-1"}
			err := d.Install(t.Context(), transaction, nil)
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			why := reason.Of(err)
			if why != reason.TransactionRefused && why != reason.ForeignKernel || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v (%s), want a refusal that says %q", err, why, test.says)
			}
			f.locked(func() {
				if f.fetched+f.done > 0 {
					t.Errorf("%d downloads, %d transactions", f.fetched, f.done)
				}
			})
		})
	}
}

func TestStrangersAreNotListed(t *testing.T) {
	f := &fakeServer{available: []map[string]dbus.Variant{
		built("kernel-core", "@System", "1", "Lab"),
		built("kernel-modules-sriov", "lab", "1", "Lab"), built("kernel-modules-sriov", "evil", "1", "Evil"),
		built("evil", "evil", "1", "Evil"), built("older", "lab", "0", "Lab"),
	}}
	d, _ := f.serve(t)
	listing, err := d.KernelPackages(t.Context(), "1-1", false)
	packages := listing.Packages
	if err != nil || len(packages) != 2 || packages[1].NEVRA != wanted || packages[1].RepoID != "lab" {
		t.Errorf("listed are %+v, %v", packages, err)
	}
}

// What is of no kernel comes from where it was planned to come from.
func TestOthersComeFromTheirRepository(t *testing.T) {
	for repo, refused := range map[string]bool{"lab": false, "evil": true} {
		f := good()
		f.available = []map[string]dbus.Variant{built("kernel-core", "@System", "1", "Lab")}
		f.items[0].Object["repo_id"] = dbus.MakeVariant(repo)
		d, _ := f.serve(t)
		err := d.Install(t.Context(), dnfbridge.Transaction{Install: []string{wanted}, Kernels: []string{"1-1"}, Others: map[string][]string{wanted: {"lab"}}}, nil)
		if got := reason.Of(err) == reason.TransactionRefused; got != refused {
			t.Errorf("from %s: %v", repo, err)
		}
	}
}
