// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"slices"
	"strings"
	"testing"

	"driverd/dnfbridge"
	"driverd/lab/rpmrepo"
	"driverd/reason"
)

// nevra is the NEVRA of a subpackage of the running build.
func nevra(name string) string { return subpackage(name, release).NEVRA() }

func TestCatalog(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)

	listing, err := d.KernelPackages(t.Context(), release, false)
	packages := listing.Packages
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range world() {
		if strings.HasPrefix(p.Name, "kernel-") && p.NEVRA() == nevra(p.Name) && p.Name != "kernel-modules-liar" && p.Vendor == "" {
			want = append(want, p.NEVRA())
		}
	}
	slices.Sort(want)
	var got []string
	for _, p := range packages {
		got = append(got, p.NEVRA)
	}
	if !slices.Equal(got, want) {
		t.Errorf("KernelPackages(%s) are\n%v, want\n%v", release, got, want)
	}
	for _, p := range packages {
		base := p.Name == "kernel-core" || p.Name == "kernel-modules-core"
		if p.Installed != base || p.RepoID != "kernel" || p.DownloadSize == 0 || p.InstallSize == 0 {
			t.Errorf("%s: Installed %v, RepoID %q, sizes %d and %d", p.Name, p.Installed, p.RepoID, p.DownloadSize, p.InstallSize)
		}
		switch p.Name {
		case "kernel-modules-sriov":
			for _, capability := range []string{
				"kmod(igb.ko)", "modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*)",
				"kernel-modules-sriov-uname-r = " + release, "installonlypkg(kernel-module)",
			} {
				if !slices.Contains(p.Provides, capability) {
					t.Errorf("%s lacks %q: %q", p.Name, capability, p.Provides)
				}
			}
		case "kernel-modules-gpu":
			if capability := "modalias(pci:v00001002d*sv*sd*bc03sc*i*) = 1.0"; !slices.Contains(p.Provides, capability) {
				t.Errorf("%s lacks %q: %q", p.Name, capability, p.Provides)
			}
		case "kernel-modules-garbage":
			if !slices.Contains(p.Provides, "modalias(pci:v[)") {
				t.Errorf("%s lost its garbage: %q", p.Name, p.Provides)
			}
		}
	}

	if listing, err := d.KernelPackages(t.Context(), "9.9.9-1.x86_64", false); err != nil || len(listing.Packages) != 0 {
		t.Errorf("a release that nobody has: %v, %v", listing, err)
	}
}

func TestCatalogOfUnreachableRepository(t *testing.T) {
	for name, fault := range map[string]rpmrepo.Fault{
		"dropped":   rpmrepo.Refuse,
		"not found": rpmrepo.NotFound,
	} {
		for _, strict := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", strict"}[strict], func(t *testing.T) {
				g := newGuest(t)
				g.forgetMetadata(t, strict)
				g.repo.Fail("", fault)

				listing, err := g.backend(0).KernelPackages(t.Context(), release, false)
				packages := listing.Packages
				if reason.Of(err) != reason.RepoUnreachable {
					t.Errorf("error %v has the reason %q, want %q", err, reason.Of(err), reason.RepoUnreachable)
				}
				t.Log(err)
				if !strict {
					installed := func(p dnfbridge.Package) bool { return p.Installed && p.RepoID == "" }
					if len(packages) != 2 || !slices.ContainsFunc(packages, installed) {
						t.Errorf("packages are %v, want the two installed ones", packages)
					}
				}

				// And nothing sticks.
				g.repo.Fail("", rpmrepo.NoFault)
				if listing, err := g.backend(0).KernelPackages(t.Context(), release, false); err != nil || len(listing.Packages) < 10 {
					t.Errorf("after it came back: %d packages, %v", len(listing.Packages), err)
				}
			})
		}
	}
}
