// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"slices"
	"strings"
	"testing"

	"driverd/dnfbridge"
)

// offer is a package as metadata has it, as far as it matters.
type offer = dnfbridge.Offered

// kernels are the releases of the records.
const (
	el9 = "5.14.0-503.11.1.el9_5.x86_64"
	f42 = "6.14.5-300.fc42.x86_64"
)

// The records follow public listings, which the drop-ins in packaging/vendor.d name: NVIDIA's
// and Red Hat's spec of precompiled modules, RPM Fusion's kmod-nvidia-RELEASE, AMD's dkms.
var records = map[string][]offer{
	"nvidia": {
		{NEVRA: "kmod-nvidia-open-580.105.08-5.14.0-503.11.1-580.105.08-3.el9_5.x86_64", Provides: []string{"kernel-modules = " + el9, "nvidia-kmod = 3:580.105.08"}},
		{NEVRA: "kmod-nvidia-open-580.95.05-5.14.0-503.11.1-580.95.05-3.el9_5.x86_64", Provides: []string{"kernel-modules = " + el9, "nvidia-kmod = 3:580.95.05"}},
		{NEVRA: "kmod-nvidia-open-590.1.1-5.14.0-611.5.1-590.1.1-3.el9_7.x86_64", Provides: []string{"kernel-modules = 5.14.0-611.5.1.el9_7.x86_64"}},
		{NEVRA: "kmod-nvidia-open-dkms-590.1.1-1.el9.x86_64", Requires: []string{"dkms"}},
		{NEVRA: "nvidia-driver-cuda-580.105.08-1.el9.x86_64"}, {NEVRA: "nvidia-driver-cuda-590.1.1-1.el9.x86_64"},
		{NEVRA: "nvidia-kmod-common-580.105.08-1.el9.noarch"}, {NEVRA: "libnvidia-ml-580.105.08-1.el9.x86_64"},
	},
	"rpmfusion": {
		{NEVRA: "akmod-nvidia-3:580.142-2.fc42.x86_64", Requires: []string{"akmods"}},
		{NEVRA: "kmod-nvidia-" + f42 + "-3:580.142-2.fc42.x86_64", Requires: []string{"kernel-uname-r = " + f42, "nvidia-kmod-common >= 3:580.142"}},
		{NEVRA: "kmod-nvidia-6.13.9-200.fc41.x86_64-3:580.142-2.fc41.x86_64", Requires: []string{"kernel-uname-r = 6.13.9-200.fc41.x86_64"}},
		{NEVRA: "xorg-x11-drv-nvidia-cuda-3:580.142-2.fc42.x86_64"},
	},
	"el": {
		{NEVRA: "kmod-nvidia-open-1-1.el9.x86_64", Requires: []string{"kernel(printk) = 0x92997ed8", "ksym(nvidia_get) = 0x1", "ksym(pci_find) = 0x2"}, Provides: []string{"ksym(nvidia_get) = 0x1"}},
		{NEVRA: "kmod-nvidia-open-2-1.el9.x86_64", Requires: []string{"kernel(printk) = 0x0", "kernel(a) = 0x1", "kernel(b) = 0x1", "kernel(z) = 0x1", "kernel(zz) = 0x1"}},
	},
	"files": {{NEVRA: "nvidia-open-kmod-580.105.08-2.el10_1.x86_64"}},
	"amd":   {{NEVRA: "amdgpu-dkms-1:6.16.6-1.el9.noarch", Requires: []string{"dkms", "gcc"}}, {NEVRA: "amdgpu-dkms-firmware-1:6.16.6-1.el9.noarch"}},
	"evil": {
		{NEVRA: "kmod-nvidia-open-9-9.x86_64", Unchecked: true, Requires: []string{"kernel-uname-r = " + el9}},
		{NEVRA: "kmod-nvidia-kernel-9-9.x86_64", Provides: []string{"kernel-core-uname-r = " + el9}},
		{NEVRA: "kmod-nvidia-any-9-9.x86_64", Requires: []string{"kernel-uname-r >= 5"}},
		{NEVRA: "kmod-nvidia-silent-9-9.x86_64"},
	},
}

// Which packages are for a kernel.
func TestVendorPackages(t *testing.T) {
	t.Parallel()
	nvidia := dnfbridge.Vendor{Kmods: []string{"kmod-nvidia-open*"}, Companions: []string{"nvidia-driver-cuda"}, Depends: []string{"nvidia-*", "libnvidia-*"}}
	fusion := dnfbridge.Vendor{Kmods: []string{"kmod-nvidia-*", "akmod-nvidia*"}, Companions: []string{"xorg-x11-drv-nvidia-cuda"}}
	amd := dnfbridge.Vendor{Kmods: []string{"amdgpu-dkms"}, Companions: []string{"amdgpu-dkms-firmware"}}
	compiled := amd
	compiled.Build = true
	for name, c := range map[string]struct {
		record, kernel string
		vendor         dnfbridge.Vendor
		want           []string // NEVRAs
		allowed        int
		refused        []string // parts of sentences, in order
	}{
		"NVIDIA's, the newest for the kernel": {"nvidia", el9, nvidia, []string{records["nvidia"][0].NEVRA, "nvidia-driver-cuda-580.105.08-1.el9.x86_64"}, 4, []string{"590.1.1-3.el9_7.x86_64 is made for kernel 5.14.0-611.5.1.el9_7.x86_64", "dkms-590.1.1-1.el9.x86_64 compiles its modules"}},
		"NVIDIA's, for a kernel of its own":   {"nvidia", "5.14.0-1.el9.x86_64", nvidia, nil, 0, []string{"580.105.08-3.el9_5.x86_64 is made for kernel " + el9, "is made for", "is made for", "compiles"}},
		"RPM Fusion's":                        {"rpmfusion", f42, fusion, []string{records["rpmfusion"][1].NEVRA, "xorg-x11-drv-nvidia-cuda-3:580.142-2.fc42.x86_64"}, 2, []string{"akmod-nvidia-3:580.142-2.fc42.x86_64 compiles", "is made for kernel 6.13.9"}},
		"compatible by its symbols":           {"el", el9, nvidia, []string{"kmod-nvidia-open-1-1.el9.x86_64"}, 1, []string{"needs kernel(printk) = 0x0, which kernel " + el9}},
		"by the places of its files":          {"files", "6.12.0-124.el10_1.x86_64", dnfbridge.Vendor{Kmods: []string{"nvidia-open-kmod"}}, []string{"nvidia-open-kmod-580.105.08-2.el10_1.x86_64"}, 1, nil},
		"which are those of another kernel":   {"files", el9, dnfbridge.Vendor{Kmods: []string{"nvidia-open-kmod"}}, nil, 0, []string{"is made for kernel 6.12.0-124.el10_1.x86_64"}},
		"AMD's compiles":                      {"amd", el9, amd, nil, 0, []string{"build = true in the drop-in allows it"}},
		"and may":                             {"amd", el9, compiled, []string{records["amd"][0].NEVRA, records["amd"][1].NEVRA}, 2, nil},
		"what nobody may bring": {"evil", el9, dnfbridge.Vendor{Kmods: []string{"kmod-nvidia-*"}}, nil, 0, []string{
			"kmod-nvidia-any-9-9.x86_64 does not say for which kernel", "kmod-nvidia-open-9-9.x86_64 is in repository repo, whose packages dnf does not check", "kmod-nvidia-silent-9-9.x86_64 does not say",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := dnfbridge.ListVendor(records[c.record], c.kernel, c.vendor,
				map[string]bool{"kernel(printk) = 0x92997ed8": true, "ksym(pci_find) = 0x2": true},
				func([]string) (map[string][]string, error) {
					return map[string][]string{"nvidia-open-kmod-580.105.08-2.el10_1.x86_64": {"/lib/modules/6.12.0-124.el10_1.x86_64/extra/nvidia.ko.xz", "/usr/share/doc/x"}}, nil
				})
			if err != nil {
				t.Fatal(err)
			}
			var nevras []string
			for _, p := range got.Packages {
				nevras = append(nevras, p.NEVRA)
			}
			if !slices.Equal(nevras, c.want) || len(got.Allowed) != c.allowed {
				t.Errorf("packages %q, want %q; allowed %v", nevras, c.want, got.Allowed)
			}
			if len(got.Refused) != len(c.refused) {
				t.Fatalf("refused %q", got.Refused)
			}
			for i, part := range c.refused {
				if !strings.Contains(got.Refused[i], part) {
					t.Errorf("refused: %s, want %s", got.Refused[i], part)
				}
			}
		})
	}
}

// What of all that has the names may come, and from where.
func TestVendorAllowed(t *testing.T) {
	t.Parallel()
	maker := dnfbridge.Vendor{Kmods: []string{"kmod-card"}, Companions: []string{"card-tool"}, Depends: []string{"card-*", "icd", "libcard-*"}}
	requires := []string{"kernel-uname-r = " + el9}
	kmod := func(evr string) offer {
		return offer{NEVRA: "kmod-card-" + evr + ".x86_64", Requires: requires, Repo: "maker", Vendor: "Maker"}
	}
	of := func(nevra, repo, vendor string) offer { return offer{NEVRA: nevra, Repo: repo, Vendor: vendor} }
	installed := func(o offer) offer {
		o.Installed = true
		return o
	}
	one, two := kmod("1-1"), kmod("2-1")
	toolOne, toolTwo := of("card-tool-1-1.x86_64", "maker", "Maker"), of("card-tool-2-1.x86_64", "maker", "Maker")
	for name, c := range map[string]struct {
		offered []offer
		want    []string // NEVRAs of Packages
		allowed []string // NEVRAs and repositories
	}{
		"the chosen, and nothing of another version": {
			[]offer{one, two, toolOne, toolTwo, of("card-lib-1-1.x86_64", "maker", ""), of("card-lib-2-1.x86_64", "maker", ""), of("card-lib-2-1.i686", "maker", ""), of("card-lib-3-1.x86_64", "maker", "")},
			[]string{two.NEVRA, toolTwo.NEVRA},
			[]string{"card-lib-2-1.i686 maker", "card-lib-2-1.x86_64 maker", "card-tool-2-1.x86_64 maker", "kmod-card-2-1.x86_64 maker"},
		},
		"the newest of what has versions of its own": {
			[]offer{two, of("libcard-a-7-1.x86_64", "maker", ""), of("libcard-a-9-1.x86_64", "maker", ""), of("libcard-a-8-1.noarch", "maker", "")},
			[]string{two.NEVRA}, []string{"kmod-card-2-1.x86_64 maker", "libcard-a-8-1.noarch maker", "libcard-a-9-1.x86_64 maker"},
		},
		"nothing from elsewhere, whatever checks signatures there": {
			[]offer{two, of("card-tool-2-1.x86_64", "other", "Other"), of("card-lib-2-1.x86_64", "other", ""), of("card-lib-2-2.x86_64", "other", "Distribution")},
			[]string{two.NEVRA}, []string{"kmod-card-2-1.x86_64 maker"},
		},
		"of the maker, from elsewhere": {
			[]offer{two, of("card-tool-2-1.x86_64", "mirror", "Maker")},
			[]string{two.NEVRA, toolTwo.NEVRA}, []string{"card-tool-2-1.x86_64 mirror", "kmod-card-2-1.x86_64 maker"},
		},
		"of the distribution what has its whole name": {
			[]offer{two, of("icd-1-1.x86_64", "fedora", "Distribution"), of("icd-2-1.x86_64", "other", "Other"), of("libcard-a-1-1.x86_64", "fedora", "Distribution")},
			[]string{two.NEVRA}, []string{"icd-1-1.x86_64 fedora", "kmod-card-2-1.x86_64 maker"},
		},
		"modules of the version of what is installed": {
			[]offer{one, two, toolOne, toolTwo, installed(toolOne)},
			[]string{one.NEVRA, toolOne.NEVRA}, []string{"card-tool-1-1.x86_64 maker", "kmod-card-1-1.x86_64 maker"},
		},
		"modules that are installed": {
			[]offer{one, two, toolTwo, installed(one), installed(toolTwo)},
			[]string{one.NEVRA, toolTwo.NEVRA}, []string{"card-tool-2-1.x86_64 maker", "kmod-card-1-1.x86_64 maker"},
		},
		"the installed companion, if none has the version": {
			[]offer{two, installed(of("card-tool-3-1.x86_64", "maker", "Maker")), of("card-tool-4-1.x86_64", "maker", "Maker")},
			[]string{two.NEVRA, "card-tool-3-1.x86_64"}, []string{"card-tool-4-1.x86_64 maker", "kmod-card-2-1.x86_64 maker"},
		},
		"an epoch is before any version": {
			[]offer{kmod("9-1"), kmod("3:2-1"), toolOne},
			[]string{"kmod-card-3:2-1.x86_64", toolOne.NEVRA}, []string{"card-tool-1-1.x86_64 maker", "kmod-card-3:2-1.x86_64 maker"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := dnfbridge.ListVendor(c.offered, el9, maker, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			var want, allowed []string
			for _, p := range l.Packages {
				want = append(want, p.NEVRA)
			}
			for nevra, repos := range l.Allowed {
				allowed = append(allowed, nevra+" "+strings.Join(repos, " "))
			}
			slices.Sort(allowed)
			if !slices.Equal(want, c.want) || !slices.Equal(allowed, c.allowed) {
				t.Errorf("packages %q, want %q; allowed %q, want %q", want, c.want, allowed, c.allowed)
			}
		})
	}
}

// The lists of files of all packages that do not say their kernel are asked for at once.
func TestVendorFileListsOnce(t *testing.T) {
	t.Parallel()
	old, current := offer{NEVRA: "kmod-card-1-1.x86_64"}, offer{NEVRA: "kmod-card-2-1.x86_64"}
	here := current
	here.Installed = true
	calls := 0
	l, err := dnfbridge.ListVendor([]offer{old, current, here}, el9, dnfbridge.Vendor{Kmods: []string{"kmod-card"}}, nil, func(nevras []string) (map[string][]string, error) {
		calls++
		if !slices.Equal(nevras, []string{old.NEVRA, current.NEVRA}) {
			t.Errorf("asked about %q", nevras)
		}
		return map[string][]string{
			old.NEVRA: {"/lib/modules/1/extra/card.ko"}, current.NEVRA: {"/lib/modules/" + el9 + "/extra/card.ko"},
		}, nil
	})
	if err != nil || calls != 1 || len(l.Packages) != 1 || l.Packages[0].NEVRA != current.NEVRA || !l.Packages[0].Installed {
		t.Errorf("%d calls, %+v, %v", calls, l, err)
	}
}

// Versions are compared as rpm does.
func TestCompareVersions(t *testing.T) {
	t.Parallel()
	order := []string{"", "0~1", "0", "1.0~rc1", "1.0", "1.0^git1", "1.0.a", "1.0.1", "1.2", "1.10", "1.010.1", "2a", "2.0"}
	for i, a := range order {
		for j, b := range order {
			got := dnfbridge.CompareVersions(a, b)
			if got > 0 != (i > j) || got < 0 != (i < j) {
				t.Errorf("%q against %q is %d", a, b, got)
			}
		}
	}
}
