// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"driverd/daemon/config"
	"driverd/hwdetect"
	"driverd/internal/testtree"
	"driverd/plan"
)

// modules are those of a kernel that all claim every device.
type modules []string

func (m modules) Installed(string) []string { return m }
func (m modules) Problem() error            { return nil }

func (m modules) Claims(source hwdetect.Source, device string) []hwdetect.Claim {
	var claims []hwdetect.Claim
	for _, name := range m {
		if source == hwdetect.Installed {
			claims = append(claims, hwdetect.Claim{Source: source, Alias: device, Module: hwdetect.Module{Name: name}})
		}
	}
	return claims
}

// What the package ships leaves NVIDIA's cards to NVIDIA's driver, and nothing
// else; and what its comment says undoes it.
func TestShippedRules(t *testing.T) {
	t.Parallel()
	const name = "50-nouveau.toml"
	text, err := os.ReadFile("../../packaging/driverd.toml.d/" + name)
	if err != nil {
		t.Fatal(err)
	}
	root := testtree.Make(t, map[string]string{vendorDir + name: string(text), localDir + "90-mine.toml": ""})
	shipped, err := config.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	nvidia := hwdetect.Device{Slot: hwdetect.Slot{Bus: 1}, Vendor: 0x10de, Product: 0x2204, Class: 0x030000, Modalias: "pci:v000010DEd00002204sv000010DEsd00001454bc03sc00i00"}
	audio, amd := nvidia, nvidia
	audio.Class, audio.Modalias = 0x040300, "pci:v000010DEd00001AEFsv000010DEsd00001454bc04sc03i00"
	amd.Vendor, amd.Modalias = 0x1002, "pci:v00001002d0000744Csv00001002sd00000E3Bbc03sc00i00"
	const allow, deny = true, false
	for name, test := range map[string]struct {
		device    hwdetect.Device
		group     string // of the package that holds the driver
		installed modules
		want      bool
	}{
		"NVIDIA":                                   {nvidia, "gpu", nil, deny},
		"NVIDIA, nouveau installed":                {nvidia, "gpu", modules{"nouveau"}, deny},
		"NVIDIA, nova installed":                   {nvidia, "", modules{"nova_core", "nova_drm"}, deny},
		"NVIDIA, nouveau in an unsplit kernel":     {nvidia, "hardware", modules{"nouveau"}, deny},
		"NVIDIA, an unsplit kernel":                {nvidia, "hardware", nil, deny},
		"NVIDIA, its own driver":                   {nvidia, "", modules{"nvidia"}, allow},
		"NVIDIA, its own driver beside the kernel": {nvidia, "gpu", modules{"nouveau", "nvidia", "nvidia_drm"}, allow},
		"the card's sound":                         {audio, "hardware", nil, allow},
		"AMD":                                      {amd, "gpu", nil, allow},
		"AMD, installed":                           {amd, "gpu", modules{"amdgpu", "radeon"}, allow},
	} {
		provides := []string{"kernel-modules-" + test.group + "-uname-r = 7", "modalias(" + test.device.Modalias + ")"}
		if test.group == "hardware" {
			provides[0] = "kernel-modules-uname-r = 7"
		}
		for _, m := range test.installed {
			if test.group != "" {
				provides = append(provides, "kmod("+m+".ko)")
			}
		}
		facts := plan.Facts{
			Kernel: test.installed, Policy: shipped.Policy,
			Catalog: plan.NewCatalog([]plan.Package{{NEVRA: "modules-1-1.x86_64", Repo: "updates", Provides: provides}}),
		}
		got := plan.Decide(test.device, facts)
		if allowed := got.State != plan.Blocked; allowed != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := os.Symlink("/dev/null", filepath.Join(root, localDir, name)); err != nil {
		t.Fatal(err)
	}
	if undone, err := config.Load(root); err != nil || len(undone.Policy.Rules) > 0 {
		t.Errorf("%+v, %v", undone, err)
	}
}
