// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"driverd/dnfbridge"
	"driverd/reason"
)

// TestVendor finds a vendor's driver with a real dnf5daemon, and has it installed: what is for
// the running kernel, with what its drop-in names, and nothing else.
func TestVendor(t *testing.T) {
	g := newGuest(t)
	dnf := g.backend(0)
	maker := dnfbridge.Vendor{Kmods: []string{"kmod-card*", "akmod-card"}, Companions: []string{"card-tool"}, Depends: []string{"card-common"}}
	list := func(kernel string, v dnfbridge.Vendor) dnfbridge.VendorListing {
		t.Helper()
		l, err := dnf.VendorPackages(t.Context(), kernel, v, false)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	kmod := "kmod-card-" + release + "-2-1.x86_64"
	want := []string{kmod, "card-tool-2-1.x86_64"}
	byCapability := dnfbridge.Vendor{Kmods: []string{"modalias(pci:v00001234d*)"}, Companions: maker.Companions, Depends: maker.Depends}
	listings := []dnfbridge.VendorListing{list(release, maker), list(release, byCapability)}
	for _, v := range []dnfbridge.Vendor{maker, byCapability} {
		l, err := g.command(t).VendorPackages(t.Context(), release, v, false)
		if err != nil {
			t.Fatal(err)
		}
		listings = append(listings, l)
	}
	for _, l := range listings {
		var nevras []string
		for _, p := range l.Packages {
			nevras = append(nevras, p.NEVRA)
			if p.RepoID != "kernel" || p.Installed || p.DownloadSize == 0 {
				t.Errorf("%+v", p)
			}
		}
		refused := strings.Join(l.Refused, "\n")
		if !slices.Equal(nevras, want) || !strings.Contains(refused, "kmod-card-"+newer+"-3-1.x86_64 is made for kernel "+newer) {
			t.Errorf("%q, want %q; refused\n%s", nevras, want, refused)
		}
	}
	if l := list(newer, maker); len(l.Packages) == 0 || l.Packages[0].NEVRA != "kmod-card-"+newer+"-3-1.x86_64" {
		t.Errorf("for the newer kernel: %+v", l)
	}

	found := list(release, maker)
	if all := slices.Sorted(maps.Keys(found.Allowed)); !slices.Equal(all, []string{"card-common-1-1.x86_64", want[1], kmod}) {
		t.Errorf("%q may come", all)
	}
	transaction := dnfbridge.Transaction{Install: want, Kernels: []string{release}, Others: found.Allowed}
	for nevra := range found.Allowed {
		transaction.Allowed = append(transaction.Allowed, nevra)
	}
	// Of whom nobody has said that it may come, it does not.
	unnamed := transaction
	unnamed.Others = nil
	if err := dnf.Install(t.Context(), unnamed, nil); reason.Of(err) != reason.TransactionRefused {
		t.Errorf("not enabled: %v", err)
	}
	alone := transaction
	alone.Allowed = nil
	if err := dnf.Install(t.Context(), alone, nil); err == nil {
		t.Error("what it requires and its drop-in does not name has come")
	}
	if err := dnf.Install(t.Context(), transaction, nil); err != nil {
		t.Fatal(err)
	}
	for _, nevra := range append(want, "card-common-1-1.x86_64") {
		if !slices.Contains(g.installed(t), nevra) {
			t.Errorf("%s is not installed", nevra)
		}
	}
	if l := list(release, maker); !l.Packages[0].Installed || !l.Packages[1].Installed {
		t.Errorf("installed, and listed as %+v", l.Packages)
	}

	// A repository whose signatures dnf does not check is none.
	g.write(t, "/etc/yum.repos.d/kernel.repo", strings.Replace(g.run(t, "cat", "/etc/yum.repos.d/kernel.repo"), "gpgcheck=1", "gpgcheck=0", 1))
	byCommand, err := g.command(t).VendorPackages(t.Context(), newer, maker, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []dnfbridge.VendorListing{list(newer, maker), byCommand} {
		if len(l.Packages) != 0 || !strings.Contains(strings.Join(l.Refused, "\n"), "gpgcheck=0") {
			t.Errorf("without gpgcheck: %+v", l)
		}
	}
}
