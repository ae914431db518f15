// SPDX-License-Identifier: Apache-2.0

//go:build lab

package dnfbridge_test

import (
	"strings"

	"driverd/lab/rpmrepo"
)

// olderReleases are as many as dnf keeps of an installonly package.
var olderReleases = []string{"7.1.1-amd64", "7.1.2-amd64", "7.1.3-amd64"}

// subpackage is a package of the kernel build with the given release, with the
// Provides and Requires that Fedora's kernel.spec gives its module subpackages.
func subpackage(name, release string) rpmrepo.Package {
	version, rel, _ := strings.Cut(release, "-")
	return rpmrepo.Package{
		Name: name, Version: version, Release: rel,
		Provides:     []string{name + "-uname-r = " + release, "installonlypkg(kernel-module)"},
		Requires:     []string{"kernel-uname-r = " + release},
		PayloadBytes: 64,
	}
}

func with(p rpmrepo.Package, change func(*rpmrepo.Package)) rpmrepo.Package {
	change(&p)
	return p
}

// build is one kernel build, small.
func build(release string) []rpmrepo.Package {
	return []rpmrepo.Package{
		with(subpackage("kernel-core", release), func(p *rpmrepo.Package) {
			p.Provides = []string{"kernel-core-uname-r = " + release, "kernel-uname-r = " + release, "installonlypkg(kernel)"}
			p.Requires = []string{"kernel-modules-core-uname-r = " + release}
		}),
		subpackage("kernel-modules-core", release),
		with(subpackage("kernel-modules-sriov", release), func(p *rpmrepo.Package) {
			p.Provides = append(p.Provides, "kmod(igb.ko)", "modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*)")
			p.Requires = append(p.Requires, "kernel-modules-core-uname-r = "+release)
		}),
		with(subpackage("kernel-modules-gpu", release), func(p *rpmrepo.Package) {
			p.Provides = append(p.Provides, "kmod(amdgpu.ko)", "modalias(pci:v00001002d*sv*sd*bc03sc*i*) = 1.0")
		}),
	}
}

// qed and whence are two of linux-firmware's packages, as Fedora divides it.
var (
	whence = rpmrepo.Package{Name: "linux-firmware-whence", Version: "20260221", Release: "1", PayloadBytes: 64}
	qed    = rpmrepo.Package{
		Name: "qed-firmware", Version: "20260221", Release: "1",
		Requires: []string{"linux-firmware-whence = 20260221-1"},
		Files: map[string][]byte{
			"/usr/lib/firmware/qed/init.bin.xz": []byte("x"), "/usr/lib/firmware/qed/plain.bin": []byte("x"),
		},
	}
)

// card is a vendor's driver: for both builds, and one that compiles.
func card() []rpmrepo.Package {
	kmod := func(release, version string) rpmrepo.Package {
		return rpmrepo.Package{
			Name: "kmod-card-" + release, Version: version, Release: "1", Vendor: "Maker", PayloadBytes: 64,
			Provides: []string{"kmod(card.ko)", "modalias(pci:v00001234d000011E8sv*sd*bc*sc*i*)", "installonlypkg(kernel-module)"},
			Requires: []string{"kernel-uname-r = " + release, "card-common"},
		}
	}
	tool := rpmrepo.Package{Name: "card-tool", Version: "2", Release: "1", PayloadBytes: 64}
	return []rpmrepo.Package{
		kmod(release, "1"), kmod(release, "2"), kmod(newer, "3"), {Name: "akmod-card", Version: "9", Release: "1", Requires: []string{"akmods"}},
		tool, with(tool, func(p *rpmrepo.Package) { p.Version = "3" }), {Name: "card-common", Version: "1", Release: "1"},
	}
}

// world is everything in the repository.
func world() []rpmrepo.Package {
	all := append(build(release), build(newer)...)
	all = append(all, whence, qed, with(qed, func(p *rpmrepo.Package) { // an older build
		p.Version, p.Requires = "20250101", nil
	}))
	for _, old := range olderReleases {
		all = append(all, with(subpackage("kernel-modules-sriov", old), func(p *rpmrepo.Package) { p.Requires = nil }))
	}
	return append(append(all, card()...),
		// What a build may contain that driverd must survive.
		with(subpackage("kernel-modules-garbage", release), func(p *rpmrepo.Package) {
			p.Provides = append(p.Provides, "modalias(pci:v[)", "kmod()", "modalias()", "kmod(a b.ko)", "kernel-other-uname-r = 1")
		}),
		// Says what the others say, of another build.
		with(subpackage("kernel-modules-liar", release), func(p *rpmrepo.Package) {
			p.Provides = []string{"kernel-modules-liar-uname-r-x = " + release, "kernel-modules-liar-uname-r >= 1"}
		}),
		// Say that they belong to the build, and do not.
		with(subpackage("kernel-modules-evil", release), func(p *rpmrepo.Package) {
			p.Vendor = "Evil"
			p.Provides = append(p.Provides, "modalias(pci:v*)")
		}),
		with(subpackage("kernel-modules-later", release), func(p *rpmrepo.Package) { p.Version = "99" }),
		with(subpackage("kernel-modules-foreign", release), func(p *rpmrepo.Package) {
			p.Requires = append(p.Requires, "foreign")
		}),
		rpmrepo.Package{Name: "foreign", Version: "1", Release: "1"},
		with(subpackage("kernel-modules-replacer", release), func(p *rpmrepo.Package) {
			p.Obsoletes = []string{"victim < 2"}
		}),
		rpmrepo.Package{Name: "victim", Version: "1", Release: "1"},
		with(subpackage("kernel-modules-needs-gpu", release), func(p *rpmrepo.Package) {
			p.Requires = append(p.Requires, "kernel-modules-gpu-uname-r = "+release)
		}),
		with(subpackage("kernel-modules-needs-tool", release), func(p *rpmrepo.Package) { p.Requires = append(p.Requires, "tool(x)") }),
		rpmrepo.Package{Name: "tool", Version: "1", Release: "1", Provides: []string{"tool(x)"}},
		with(subpackage("kernel-modules-hater", release), func(p *rpmrepo.Package) { p.Conflicts = []string{"victim"} }),
		with(subpackage("kernel-modules-broken", release), func(p *rpmrepo.Package) {
			p.Requires = append(p.Requires, "nobody-has-this")
		}),
		with(subpackage("kernel-modules-unsigned", release), func(p *rpmrepo.Package) { p.Unsigned = true }),
		with(subpackage("kernel-modules-forged", release), func(p *rpmrepo.Package) { p.Forged = true }),
		with(subpackage("kernel-modules-badpost", release), func(p *rpmrepo.Package) { p.Post = `error("depmod fell over")` }),
		with(subpackage("kernel-modules-badpre", release), func(p *rpmrepo.Package) { p.Pre = `error("no")` }),
		with(subpackage("kernel-modules-large", release), func(p *rpmrepo.Package) { p.PayloadBytes = 150 << 10 }),
		with(subpackage("kernel-modules-slow", release), func(p *rpmrepo.Package) {
			p.Post = `os.execute("touch /run/post-runs; while [ ! -e /run/go-on ]; do sleep 0.1; done")`
		}),
	)
}
