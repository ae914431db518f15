// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"driverd/lab/rpmrepo"
	"driverd/reason"
)

// published builds a repository.
func published(t *testing.T, packages []rpmrepo.Package) string {
	t.Helper()
	dir := t.TempDir()
	if err := rpmrepo.Build(t.Context(), dir, key, packages); err != nil {
		t.Fatal(err)
	}
	return dir
}

// renamed publishes the same packages as files with other names.
func renamed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(repoDir, "*.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Symlink(file, filepath.Join(dir, "moved-"+filepath.Base(file))); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "createrepo_c", "--quiet", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// A repository that was published anew after its metadata was fetched is asked once
// more, and the transaction goes on.
func TestPublishedAnew(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	again := published(t, build(release))
	for _, test := range []struct {
		name          string
		before, after string
		renewals      int
	}{
		{"as it was", repoDir, repoDir, 0},
		{"packages built and signed again", repoDir, again, 1},
		{"files with other names", repoDir, renamed(t), 1},
		{"an older mirror after a newer one", again, repoDir, 1},
		{"the package added", published(t, build(newer)), again, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer g.run(t, "sh", "-c", "rpm -e kernel-modules-sriov 2>&1 || true")
			g.repo.Become(test.before)
			g.forgetMetadata(t, false)
			if _, err := d.KernelPackages(t.Context(), release, false); err != nil {
				t.Fatal(err)
			}
			g.repo.Become(test.after)
			g.repo.Fail("", rpmrepo.NoFault)
			if err := d.Install(t.Context(), install("kernel-modules-sriov"), nil); err != nil {
				t.Error(err)
			}
			if got := g.repo.Asked("repomd.xml"); got != test.renewals {
				t.Errorf("the repository was asked for its metadata %d times, want %d", got, test.renewals)
			}
		})
	}
}

// What is not there in the new metadata either is said to be missing, and that is
// known to the next listing.
func TestPackageIsGone(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	if _, err := d.KernelPackages(t.Context(), release, false); err != nil {
		t.Fatal(err)
	}
	other := with(subpackage("kernel-modules-net", release), func(p *rpmrepo.Package) { p.Provides = append(p.Provides, "kmod(igb.ko)") })
	g.repo.Become(published(t, []rpmrepo.Package{other}))
	g.repo.Fail("", rpmrepo.NoFault)
	if err := d.Install(t.Context(), install("kernel-modules-sriov"), nil); reason.Of(err) != reason.NoPackage {
		t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.NoPackage)
	}
	listing, err := d.KernelPackages(t.Context(), release, false)
	if err != nil {
		t.Fatal(err)
	}
	if last := listing.Packages[len(listing.Packages)-1]; last.Name != "kernel-modules-net" {
		t.Errorf("the listing after that has %v", listing.Packages)
	}
	if got := g.repo.Asked("repomd.xml"); got != 1 {
		t.Errorf("the repository was asked for its metadata %d times", got)
	}
}

// A build that came after the metadata was fetched is listed if the metadata is renewed.
func TestBuildAddedAMinuteAgo(t *testing.T) {
	g := newGuest(t)
	d := g.backend(nobody)
	g.repo.Become(published(t, build(newer)))
	g.forgetMetadata(t, false)
	for _, test := range []struct {
		fresh, offered bool
		dir            string
		asked          int
	}{
		{false, false, repoDir, 1}, // the first time, the metadata is fetched
		{false, false, repoDir, 0},
		{true, true, repoDir, 1},
		{false, true, repoDir, 0},
	} {
		g.repo.Fail("", rpmrepo.NoFault)
		listing, err := d.KernelPackages(t.Context(), release, test.fresh)
		if err != nil || listing.Offered() != test.offered {
			t.Errorf("%+v: %v, %+v", test, err, listing)
		}
		if got := g.repo.Asked("repomd.xml"); got != test.asked {
			t.Errorf("%+v: asked %d times", test, got)
		}
		g.repo.Become(test.dir)
	}
}

// A server without metadata of its own takes that of dnf5, which may be old.
func TestMetadataOfDNFIsOld(t *testing.T) {
	g := newGuest(t)
	g.repo.Become(published(t, build(newer)))
	g.forgetMetadata(t, false)
	g.run(t, "dnf5", "makecache")
	g.repo.Become(repoDir)
	listing, err := g.backend(nobody).KernelPackages(t.Context(), release, true)
	if err != nil || !listing.Offered() {
		t.Errorf("%v, %+v", err, listing)
	}
}

// A server that does not answer says nothing against the metadata, which goes on to
// answer.
func TestDeadRepositoryRenewsNothing(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	if _, err := d.KernelPackages(t.Context(), release, false); err != nil {
		t.Fatal(err)
	}
	g.repo.Fail("", rpmrepo.Refuse)
	if err := d.Install(t.Context(), install("kernel-modules-sriov"), nil); reason.Of(err) != reason.RepoUnreachable {
		t.Errorf("the reason of %v is %q, want %q", err, reason.Of(err), reason.RepoUnreachable)
	}
	if listing, err := d.KernelPackages(t.Context(), release, false); err != nil || !listing.Offered() {
		t.Errorf("the metadata that was there is gone: %v", err)
	}
	if got := g.repo.Asked("repomd.xml"); got != 0 {
		t.Errorf("the repository was asked for its metadata %d times", got)
	}
}

// A file that came since the metadata was fetched is found if that is renewed.
func TestFileAdded(t *testing.T) {
	g := newGuest(t)
	d := g.backend(0)
	file := "/usr/lib/firmware/qed/new.bin"
	for _, fresh := range []bool{false, true} {
		found, err := d.Find(t.Context(), []string{file}, fresh)
		if err != nil || len(found) > 0 != fresh {
			t.Errorf("fresh %t: %v, %v", fresh, found, err)
		}
		g.repo.Become(published(t, []rpmrepo.Package{with(qed, func(p *rpmrepo.Package) {
			p.Version, p.Files = "20270101", map[string][]byte{file: []byte(strings.Repeat("x", 9))}
		})}))
	}
}
