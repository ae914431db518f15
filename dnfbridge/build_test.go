// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"pgregory.net/rapid"

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

// claimed is what is listed where an installed package from elsewhere claims to be of kernel
// 1-1, whose image is kernel-core's.
func claimed() []map[string]dbus.Variant {
	return []map[string]dbus.Variant{
		built("kernel-core", "@System", "1", "Lab"), built("claims", "@System", "9", "Elsewhere"),
		built("kernel-modules-sriov", "lab", "1", "Lab"), built("kernel-modules-sriov", "evil", "9", "Elsewhere"),
	}
}

// isOfLab says whether packages are those of the build of kernel-core, in claimed.
func isOfLab(packages []dnfbridge.Package) bool {
	return len(packages) == 2 && packages[0].Name == "kernel-core" && packages[1].NEVRA == wanted && packages[1].RepoID == "lab"
}

// Which build a kernel is of does not depend on the order in which dnf lists packages.
func TestBuildInAnyOrder(t *testing.T) {
	f := good()
	d, _ := f.serve(t)
	transaction := plan
	transaction.Kernels = []string{"1-1"}
	rapid.Check(t, func(t *rapid.T) {
		all, listed := claimed(), []map[string]dbus.Variant(nil)
		for _, i := range rapid.Permutation([]int{0, 1, 2, 3}).Draw(t, "order") {
			listed = append(listed, all[i])
		}
		owned, repo := rapid.Bool().Draw(t, "owned"), rapid.SampledFrom([]string{"lab", "evil"}).Draw(t, "repo")
		item := good().items[0]
		item.Object["repo_id"] = dbus.MakeVariant(repo)
		f.locked(func() {
			f.available, f.owners, f.items = listed, nil, []fakeItem{item}
			if owned {
				f.owners = []map[string]dbus.Variant{built("kernel-core", "@System", "1", "Lab")}
			}
		})
		listing, err := d.KernelPackages(context.Background(), "1-1", false)
		if err != nil || owned && !isOfLab(listing.Packages) || !owned && len(listing.Packages) != len(listed) {
			t.Errorf("listed are %+v, %v", listing.Packages, err)
		}
		err = d.Install(context.Background(), transaction, nil)
		want := reason.None
		switch {
		case !owned:
			want = reason.ForeignKernel
		case repo == "evil":
			want = reason.TransactionRefused
		}
		if reason.Of(err) != want {
			t.Errorf("from %s: %v (%s), want %q", repo, err, reason.Of(err), want)
		}
	})
}

// dnf5Script stands where dnf5 does: it lists what is in the files beside it, and plans to
// install from the repository that a file names.
const dnf5Script = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
for word; do
	case $word in --store=*)
		mkdir "${word#--store=}"
		cp transaction.json "${word#--store=}"
	esac
done
case $* in
*--installed*/lib/modules/1-1/vmlinuz*) cat owners ;;
*--installed*--whatprovides=*) cat installed ;;
*--available*--whatprovides=*) cat available ;;
esac
`

// The same where dnf5's command line is asked.
func TestBuildInAnyOrderOfTheCommandLine(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil { //nolint:gosec // one of them is a program
			t.Fatal(err)
		}
	}
	record := func(p map[string]dbus.Variant) string {
		text := ""
		for i, key := range []string{"nevra", "name", "repo_id", "download_size", "install_size", "version", "release", "arch", "vendor"} {
			text += string("\x1e\x1f"[min(i, 1)]) + fmt.Sprint(p[key].Value())
		}
		return text + "\x1f" + strings.Join(p["provides"].Value().([]string), "\n") + "\x1f"
	}
	if err := os.MkdirAll(filepath.Join(root, "usr/lib/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("dnf5", dnf5Script)
	var installed, available []string
	for _, p := range claimed() {
		if p["is_installed"].Value() == true {
			installed = append(installed, record(p))
		} else {
			available = append(available, record(p))
		}
	}
	c := dnfbridge.Command{Root: root}
	for order := range 2 {
		slices.Reverse(installed)
		write("installed", strings.Join(installed, ""))
		write("available", strings.Join(available, ""))
		for _, owned := range []bool{false, true} {
			write("owners", "")
			if owned {
				write("owners", record(built("kernel-core", "@System", "1", "Lab")))
			}
			packages, err := c.KernelPackages(t.Context(), "1-1")
			if err != nil || owned && !isOfLab(packages) || !owned && len(packages) != 4 {
				t.Errorf("order %d: listed are %+v, %v", order, packages, err)
			}
			for repo, want := range map[string]reason.Reason{"lab": reason.None, "evil": reason.TransactionRefused} {
				if !owned {
					want = reason.ForeignKernel
				}
				write("transaction.json", fmt.Sprintf(`{"rpms": [{"nevra": %q, "action": "Install", "repo_id": %q}]}`, wanted, repo))
				err := c.Install(t.Context(), dnfbridge.Transaction{Install: []string{wanted}, Kernels: []string{"1-1"}})
				if reason.Of(err) != want || (err == nil) != (want == reason.None) {
					t.Errorf("order %d, from %s: %v, want %q", order, repo, err, want)
				}
			}
		}
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
