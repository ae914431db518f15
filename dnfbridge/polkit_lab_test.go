// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"driverd/lab/rpmrepo"
	"driverd/reason"
)

const (
	nobody = 65534

	trustedRule = `polkit.addRule(function(action, subject) {
	if (action.id == "org.rpm.dnf.v0.rpm.execute_trusted_transaction" && subject.user == "nobody")
		return polkit.Result.YES;
});
`
)

func TestOrdinaryUserIsNotAuthorized(t *testing.T) {
	g := newGuest(t)
	d := g.backend(nobody)
	if listing, err := d.KernelPackages(t.Context(), release, false); err != nil || len(listing.Packages) == 0 {
		t.Errorf("reading needs no authorization: %d packages, %v", len(listing.Packages), err)
	}
	before := g.installed(t)
	err := d.Install(t.Context(), install("kernel-modules-sriov"), nil)
	if reason.Of(err) != reason.NotAuthorized {
		t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.NotAuthorized)
	}
	t.Log(err)
	if got := g.installed(t); !slices.Equal(got, before) {
		t.Errorf("installed are %v, want %v", got, before)
	}
}

// Who may have signed packages installed, and no more, is refused by dnf5daemon itself
// for a repository whose signatures nobody checks.
func TestTrustedTransactionRule(t *testing.T) {
	g := newGuest(t)
	g.write(t, "/etc/polkit-1/rules.d/50-test.rules", trustedRule)
	d := g.backend(nobody)
	if err := d.Install(t.Context(), install("kernel-modules-sriov"), nil); err != nil {
		t.Fatal(err)
	}
	if got := g.installed(t); !slices.Contains(got, nevra("kernel-modules-sriov")) {
		t.Errorf("installed are %v", got)
	}

	g.write(t, "/etc/yum.repos.d/kernel.repo", fmt.Sprintf("[kernel]\nname=kernel\nbaseurl=%s\ngpgcheck=0\n", g.repo.URL))
	err := d.Install(t.Context(), install("kernel-modules-gpu"), nil)
	if reason.Of(err) != reason.NotAuthorized {
		t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.NotAuthorized)
	}
}

// The administrator has not imported the key: driverd is asked about it, and says no.
func TestKeyIsNotImported(t *testing.T) {
	g := newGuest(t)
	g.write(t, "/etc/polkit-1/rules.d/50-test.rules", trustedRule)
	g.run(t, "sh", "-ec", "rpm -e --allmatches gpg-pubkey")
	err := g.backend(nobody).Install(t.Context(), install("kernel-modules-sriov"), nil)
	if reason.Of(err) != reason.UntrustedPackage {
		t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.UntrustedPackage)
	}
	t.Log(err)
}

// Root's dnf imports the keys that repositories name, and passes over a repository
// whose signatures nobody checks. driverd does neither.
func TestRootTrustsNobodyNew(t *testing.T) {
	g := newGuest(t)
	g.write(t, "/etc/yum.repos.d/kernel.repo", fmt.Sprintf("[kernel]\nname=kernel\nbaseurl=%s\ngpgcheck=0\n", g.repo.URL))
	before := g.installed(t)
	refused := func(name string) {
		t.Helper()
		if err := g.backend(0).Install(t.Context(), install(name), nil); reason.Of(err) != reason.UntrustedPackage {
			t.Errorf("%s: the reason of %v is %q, want %q", name, err, reason.Of(err), reason.UntrustedPackage)
		}
	}
	refused("kernel-modules-unsigned")
	g.run(t, "sh", "-ec", "rpm -e --allmatches gpg-pubkey")
	g.write(t, "/etc/yum.repos.d/kernel.repo", fmt.Sprintf(baseRepo, g.repo.URL))
	refused("kernel-modules-sriov")
	if got := g.run(t, "rpm", "-qa", "gpg-pubkey"); got != "" {
		t.Errorf("imported: %s", got)
	}
	if got := g.installed(t); !slices.Equal(got, before) {
		t.Errorf("installed are %v, want %v", got, before)
	}
}

// A package is signed, and its contents are not what was signed: it is refused, however lax
// a guest's settings are.
func TestForgedContentsAreNotInstalled(t *testing.T) {
	g := newGuest(t)
	before := g.installed(t)
	g.write(t, "/etc/rpm/macros.test", "%_pkgverify_level none\n")
	for _, repo := range []string{baseRepo, "[kernel]\nname=kernel\nbaseurl=%s\ngpgcheck=0\n"} {
		g.write(t, "/etc/yum.repos.d/kernel.repo", fmt.Sprintf(repo, g.repo.URL))
		err := g.backend(0).Install(t.Context(), install("kernel-modules-forged"), nil)
		if reason.Of(err) != reason.UntrustedPackage {
			t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.UntrustedPackage)
		}
		if got := g.installed(t); !slices.Equal(got, before) {
			t.Errorf("installed are %v, want %v", got, before)
		}
		if got := g.run(t, "find", "/opt/test", "-name", "kernel-modules-forged*"); got != "" {
			t.Errorf("there is %s", got)
		}
	}
}

// What dnf has left of a repository at an earlier address is not what it installs.
func TestLeftoverIsNotInstalled(t *testing.T) {
	g := newGuest(t)
	leftover := with(subpackage("kernel-modules-sriov", release), func(p *rpmrepo.Package) { p.Unsigned = true })
	dir := t.TempDir()
	if err := rpmrepo.Build(t.Context(), dir, nil, []rpmrepo.Package{leftover}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, leftover.NEVRA()+".rpm"))
	if err != nil {
		t.Fatal(err)
	}
	g.write(t, "/var/cache/dnf5daemon-server/kernel-0123456789abcdef/packages/"+leftover.NEVRA()+".rpm", string(text))
	if err := g.backend(0).Install(t.Context(), install("kernel-modules-sriov"), nil); err != nil {
		t.Error(err)
	}
}

// A package that says that it belongs to the running kernel is not believed.
func TestPackagesThatOnlySayThatTheyBelong(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	listing, err := d.KernelPackages(t.Context(), release, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range listing.Packages {
		if p.Name == "kernel-modules-evil" || p.Name == "kernel-modules-later" {
			t.Errorf("listed: %s", p.NEVRA)
		}
	}
	for _, name := range []string{"kernel-modules-evil", "kernel-modules-later"} {
		transaction := install("kernel-modules-sriov")
		for _, p := range world() {
			if p.Name == name {
				transaction.Install = []string{p.NEVRA()}
			}
		}
		if err := d.Install(t.Context(), transaction, nil); reason.Of(err) != reason.TransactionRefused {
			t.Errorf("%s: the reason of %v is %q, want %q", name, err, reason.Of(err), reason.TransactionRefused)
		} else {
			t.Log(err)
		}
	}
}
