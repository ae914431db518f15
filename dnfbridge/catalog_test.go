// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"context"
	"slices"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/dnfbridge"
)

// listed is a package as Rpm.list tells it.
func listed(nevra, name, repo string, installed bool, provides ...string) map[string]dbus.Variant {
	var download uint64
	if !installed {
		download = 1000
	}
	return map[string]dbus.Variant{
		"id": dbus.MakeVariant(int32(1)), "nevra": dbus.MakeVariant(nevra), "name": dbus.MakeVariant(name),
		"repo_id": dbus.MakeVariant(repo), "is_installed": dbus.MakeVariant(installed),
		"download_size": dbus.MakeVariant(download), "install_size": dbus.MakeVariant(uint64(2000)),
		"provides": dbus.MakeVariant(append([]string{}, provides...)),
	}
}

func TestKernelPackages(t *testing.T) {
	const release, capability = "7.2.0-200.fc44.x86_64", "kernel-modules-uname-r = 7.2.0-200.fc44.x86_64"
	f := &fakeServer{available: []map[string]dbus.Variant{
		listed("b-1-1.x86_64", "b", "@System", true, capability, "a = 1"),
		listed("b-1-1.x86_64", "b", "updates", false, "a = 1", capability),
		listed("a-1-1.x86_64", "a", "fedora", false, capability),
		listed("c-1-1.x86_64", "c", "@System", true, capability),
		// What a server with a looser idea of matching might return.
		listed("d-1-1.x86_64", "d", "fedora", false, "kernel-uname-r = 7.2.1-200.fc44.x86_64"),
		listed("e-1-1.x86_64", "e", "fedora", false, "kernel-uname-r >= 7.2.0-200.fc44.x86_64"),
		listed("f-1-1.x86_64", "f", "fedora", false, "kernel-uname-r"),
		listed("g-1-1.x86_64", "g", "fedora", false, "kernel = 7.2.0-200.fc44.x86_64"),
		listed("h-1-1.x86_64", "h", "fedora", false),
	}}
	d, _ := f.serve(t)
	got, err := d.KernelPackages(t.Context(), release, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []dnfbridge.Package{
		{NEVRA: "a-1-1.x86_64", Name: "a", RepoID: "fedora", DownloadSize: 1000, InstallSize: 2000, Provides: []string{capability}},
		{NEVRA: "b-1-1.x86_64", Name: "b", RepoID: "updates", Installed: true, DownloadSize: 1000, InstallSize: 2000, Provides: []string{"a = 1", capability}},
		{NEVRA: "c-1-1.x86_64", Name: "c", Installed: true, InstallSize: 2000, Provides: []string{capability}},
	}
	if diff := cmp.Diff(dnfbridge.Listing{Packages: want}, got); diff != "" {
		t.Errorf("packages differ (-want +got):\n%s", diff)
	}
}

// Where the packages say nothing of their modules, their files do.
func TestModulesByFiles(t *testing.T) {
	const capability = "kernel-modules-uname-r = 7.2.0"
	with := func(p map[string]dbus.Variant, files ...string) map[string]dbus.Variant {
		p["files"] = dbus.MakeVariant(files)
		return p
	}
	core := listed("core-1-1.x86_64", "core", "@System", true, capability, "kmod(nvme.ko)")
	silent := with(listed("sriov-1-1.x86_64", "sriov", "lab", false, capability),
		"/lib/modules/7.2.0/kernel/net/igb.ko.xz", "/lib/modules/7.2.0/kernel/snd-hda-intel.ko", "/usr/share/doc/igb.ko.txt", "/lib/modules/7.2.0")
	speaks := with(listed("gpu-1-1.x86_64", "gpu", "lab", false, capability, "kmod(amdgpu.ko)"), "/lib/modules/7.2.0/kernel/other.ko")
	for name, test := range map[string]struct {
		available []map[string]dbus.Variant
		want      []string // Provides of sriov
		lists     int
	}{
		"none says anything": {[]map[string]dbus.Variant{core, silent}, []string{capability, "kmod(igb.ko)", "kmod(snd_hda_intel.ko)"}, 2},
		"another one does":   {[]map[string]dbus.Variant{core, silent, speaks}, []string{capability}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeServer{available: test.available}
			d, _ := f.serve(t)
			listing, err := d.KernelPackages(t.Context(), "7.2.0", false)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(listing.Packages, func(p dnfbridge.Package) bool { return p.Name == "sriov" })
			if diff := cmp.Diff(test.want, listing.Packages[i].Provides); diff != "" {
				t.Error(diff)
			}
			f.locked(func() {
				if len(f.asked) != test.lists || (f.config["optional_metadata_types"] == "filelists") != (test.lists == 2) {
					t.Errorf("%d lists, config %v", len(f.asked), f.config)
				}
			})
		})
	}
}

func TestReleaseInCapability(t *testing.T) {
	for release, version := range map[string]string{
		"7.2.12+deb14-amd64":               "7.2.12+deb14-amd64",
		"7.2.0-200.fc44.x86_64":            "7.2.0-200.fc44.x86_64",
		"6.12.0-55.el10.aarch64+64k":       "6.12.0-55.el10.aarch64+64k",
		"6.12.0-55.el10.aarch64+64k-debug": "6.12.0-55.el10.aarch64+64k_debug",
		"6.1.0-50-cloud-amd64":             "6.1.0-50_cloud_amd64",
		"7.2.0":                            "7.2.0",
	} {
		t.Run(release, func(t *testing.T) {
			f := &fakeServer{available: []map[string]dbus.Variant{listed("a-1-1.x86_64", "a", "fedora", false, "kernel-64k-modules-uname-r = "+version)}}
			d, _ := f.serve(t)
			listing, err := d.KernelPackages(t.Context(), release, false)
			if err != nil || len(listing.Packages) != 1 {
				t.Errorf("packages are %v, %v", listing, err)
			}
			var asked any
			f.locked(func() { asked = f.asked[0]["whatprovides"].Value() })
			if want := []string{"*-uname-r = " + version}; !cmp.Equal(asked, any(want)) {
				t.Errorf("the server was asked for %q, want %q", asked, want)
			}
		})
	}
}

// Whatever stands in the Provides, what is returned belongs to the build, once,
// in order; and a reply that is not what it should be is an error, not a crash.
func TestKernelPackagesProperties(t *testing.T) {
	f := &fakeServer{}
	d, _ := f.serve(t)
	provide := rapid.OneOf(rapid.StringMatching(`(kernel|kmod|x-uname-r)?(-uname-r)?( (=|>=) (1-1|2))?`), rapid.StringMatching(`\PC*`))
	rapid.Check(t, func(t *rapid.T) {
		var available []map[string]dbus.Variant
		for range rapid.IntRange(0, 5).Draw(t, "packages") {
			p := listed(rapid.SampledFrom([]string{"a-1-1.x86_64", "b-1-1.x86_64"}).Draw(t, "nevra"), "a",
				"repo", rapid.Bool().Draw(t, "installed"), rapid.SliceOfN(provide, 0, 4).Draw(t, "provides")...)
			if rapid.IntRange(0, 9).Draw(t, "spoil") == 0 {
				p[rapid.SampledFrom([]string{"nevra", "provides", "install_size"}).Draw(t, "key")] = dbus.MakeVariant(true)
			}
			available = append(available, p)
		}
		f.locked(func() { f.available = available })
		listing, err := d.KernelPackages(context.Background(), "1-1", false)
		packages := listing.Packages
		if err != nil {
			if packages != nil {
				t.Errorf("packages %v with the error %v", packages, err)
			}
			return
		}
		for i, p := range packages {
			if i > 0 && packages[i-1].NEVRA >= p.NEVRA {
				t.Errorf("%s comes after %s", p.NEVRA, packages[i-1].NEVRA)
			}
			belongs := func(s string) bool {
				return s == "kernel-uname-r = 1-1" || s == "kmod-uname-r = 1-1" || s == "-uname-r = 1-1" ||
					s == "x-uname-r = 1-1" || s == "x-uname-r-uname-r = 1-1"
			}
			if !slices.ContainsFunc(p.Provides, belongs) {
				t.Errorf("%s does not belong to the build: %q", p.NEVRA, p.Provides)
			}
		}
	})
}
