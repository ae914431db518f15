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
		{NEVRA: "kmod-nvidia-open-2-1.el9.x86_64", Requires: []string{"kernel(printk) = 0x0"}},
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
		"NVIDIA's, the newest for the kernel": {"nvidia", el9, nvidia, []string{records["nvidia"][0].NEVRA, "nvidia-driver-cuda-580.105.08-1.el9.x86_64"}, 6, []string{"590.1.1-3.el9_7.x86_64 is made for kernel 5.14.0-611.5.1.el9_7.x86_64", "dkms-590.1.1-1.el9.x86_64 compiles its modules"}},
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
				map[string][]string{"nvidia-open-kmod-580.105.08-2.el10_1.x86_64": {"/lib/modules/6.12.0-124.el10_1.x86_64/extra/nvidia.ko.xz", "/usr/share/doc/x"}})
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
