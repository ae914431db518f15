// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"driverd/dnfbridge"
	"driverd/lab/rpmrepo"
	"driverd/reason"
)

const lockFile = `version = "1.0"
[[packages]]
name = "kernel-modules-sriov"
[[packages.conditions]]
key = "evr"
comparator = "="
value = "7.2.13-deb14"
`

// What DNF's configuration hides is listed as that, and is not installed.
func TestExcluded(t *testing.T) {
	g := newGuest(t)
	d := g.backend(nobody)
	conf, repo := g.run(t, "cat", "/etc/dnf/dnf.conf"), g.run(t, "cat", "/etc/yum.repos.d/kernel.repo")
	sriov, core := nevra("kernel-modules-sriov"), nevra("kernel-core")
	for _, test := range []struct {
		name, file, text string
		all              bool // the packages of the build are hidden
	}{
		{"in dnf.conf", "/etc/dnf/dnf.conf", conf + "excludepkgs=kernel*\n", true},
		{"of the repository", "/etc/yum.repos.d/kernel.repo", repo + "excludepkgs=kernel*\n", true},
		{"one package of the repository", "/etc/yum.repos.d/kernel.repo", repo + "excludepkgs=kernel-modules-sriov*\n", false},
		{"by includepkgs", "/etc/yum.repos.d/kernel.repo", repo + "includepkgs=kernel-core,kernel-modules-core\n", false},
		{"by includepkgs in dnf.conf", "/etc/dnf/dnf.conf", conf + "includepkgs=kernel-core,kernel-modules-core\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.write(t, test.file, test.text)
			listing, err := d.KernelPackages(t.Context(), release, !test.all) // nothing offered: what is hidden shows by itself
			if err != nil {
				t.Fatal(err)
			}
			byNEVRA := make(map[string]dnfbridge.Package)
			for _, p := range listing.Packages {
				byNEVRA[p.NEVRA] = p
			}
			if p := byNEVRA[sriov]; !p.Excluded || p.RepoID != "kernel" || p.Installed || len(p.Provides) == 0 {
				t.Errorf("it is %+v", p)
			}
			if p := byNEVRA[core]; p.Excluded || !p.Installed || p.RepoID == "kernel" == test.all {
				t.Errorf("what is installed is %+v", p)
			}
			if listing.Offered() == test.all {
				t.Errorf("something else is offered: %t", listing.Offered())
			}
			g.write(t, "/etc/dnf/dnf.conf", conf)
			g.write(t, "/etc/yum.repos.d/kernel.repo", repo)
		})
	}
	// Hidden since it was listed, or by what a list does not apply.
	for _, test := range []struct{ name, file, text, said string }{
		{"excluded meanwhile", "/etc/yum.repos.d/kernel.repo", repo + "excludepkgs=kernel*\n", "excludepkgs="},
		{"versionlock", "/etc/dnf/versionlock.toml", lockFile, "versionlock"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.write(t, test.file, test.text)
			err := g.backend(0).Install(t.Context(), install("kernel-modules-sriov"), nil)
			if reason.Of(err) != reason.Excluded || !strings.Contains(err.Error(), test.said) {
				t.Errorf("%v (%s)", err, reason.Of(err))
			}
			t.Log(err)
			g.write(t, "/etc/yum.repos.d/kernel.repo", repo)
			g.run(t, "rm", "-f", "/etc/dnf/versionlock.toml")
		})
	}
}

func TestDisabledRepository(t *testing.T) {
	g := newGuest(t)
	repo := g.run(t, "cat", "/etc/yum.repos.d/kernel.repo")
	g.write(t, "/etc/yum.repos.d/kernel.repo", repo+"enabled=0\n[kernel-debuginfo]\nname=d\nenabled=0\nbaseurl=http://localhost/\n")
	listing, err := g.backend(nobody).KernelPackages(t.Context(), release, false)
	if err != nil || listing.Offered() || !slices.Equal(listing.Disabled, []string{"kernel"}) {
		t.Errorf("%v, %+v", err, listing)
	}
}

// modules is a document of modulemd: one stream that has the packages, and is not enabled.
const modules = `---
document: modulemd
version: 2
data:
  name: kernel
  stream: "7.2"
  version: 1
  context: 00000000
  arch: x86_64
  summary: A kernel
  description: A kernel
  license: {module: [MIT]}
  artifacts:
    rpms:
`

// What a module stream hides, dnf does not list to anybody.
func TestPackagesOfAModuleStream(t *testing.T) {
	g := newGuest(t)
	dir := published(t, build(release))
	text := modules
	for _, p := range build(release) {
		text += "    - " + p.Name + "-0:" + p.Version + "-" + p.Release + ".x86_64\n"
	}
	file := filepath.Join(t.TempDir(), "modules.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "modifyrepo_c", "--mdtype=modules", file, filepath.Join(dir, "repodata")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	g.repo.Become(dir)
	g.forgetMetadata(t, false)
	_, err := g.backend(nobody).KernelPackages(t.Context(), release, false)
	if reason.Of(err) != reason.Excluded || !strings.Contains(err.Error(), "module stream") {
		t.Errorf("%v (%s)", err, reason.Of(err))
	}
	t.Log(err)
}

// Packages may not say for which kernel they are made, as those of Azure Linux 3. The
// kernel is not a foreign one for that.
func TestKernelWithoutUnameR(t *testing.T) {
	g := newGuest(t)
	kernel := rpmrepo.Package{Name: "kernel", Version: "6.6.64.2", Release: "7.azl3", PayloadBytes: 64}
	drivers := rpmrepo.Package{
		Name: "kernel-drivers-gpu", Version: kernel.Version, Release: kernel.Release, PayloadBytes: 64,
		Requires: []string{"kernel = 6.6.64.2-7.azl3"}, Provides: []string{"kmod(amdgpu.ko)"},
	}
	other := with(kernel, func(p *rpmrepo.Package) {
		p.Name, p.Version, p.Files = "linux", "1", map[string][]byte{"/usr/lib/modules/6.6.1/vmlinuz": []byte("x")}
	})
	g.repo.Become(published(t, []rpmrepo.Package{kernel, drivers, other}))
	g.forgetMetadata(t, false)
	g.run(t, "dnf5", "-y", "install", kernel.NEVRA(), other.NEVRA())
	for release, want := range map[string][]string{
		"6.6.64.2-7.azl3": {kernel.NEVRA()},
		"6.6.1":           {other.NEVRA()},
		"6.6.99":          nil,
	} {
		listing, err := g.backend(nobody).KernelPackages(t.Context(), release, false)
		var got []string
		for _, p := range listing.Packages {
			got = append(got, p.NEVRA)
			if !p.Installed {
				err = errors.Join(err, errors.New(p.NEVRA+" is not installed"))
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("the owners of %s are %q, %v; want %q", release, got, err, want)
		}
	}
}
