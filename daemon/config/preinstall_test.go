// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"driverd/daemon/config"
	"driverd/internal/testtree"
)

const preinstallDir = "etc/driverd/preinstall.d/"

func TestLoadPreinstall(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		preinstallDir + "50-owner.toml":    "install = ['sriov', '8086:10c9']\n",
		preinstallDir + "10-platform.toml": "present = true\ninstall = ['kmod(nvme.ko)', 'sriov', 'pci:v00001000d00000060sv00001000sd00001013bc01sc04i00']\n",
		preinstallDir + "60-empty.toml":    "",
		preinstallDir + "README":           "nonsense",
	}
	root := testtree.Make(t, files)
	got, err := config.LoadPreinstall(root)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Preinstall{
		Selectors: []string{"kmod(nvme.ko)", "sriov", "pci:v00001000d00000060sv00001000sd00001013bc01sc04i00", "8086:10c9"},
		Present:   true,
		Files: []string{
			filepath.Join(root, preinstallDir, "10-platform.toml"), filepath.Join(root, preinstallDir, "50-owner.toml"),
			filepath.Join(root, preinstallDir, "60-empty.toml"),
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(config.Preinstall{}, "Sum")); diff != "" {
		t.Error(diff)
	}

	// The sum is of what is said, not of where the tree lies.
	same, err := config.LoadPreinstall(testtree.Make(t, files))
	if err != nil || same.Sum != got.Sum {
		t.Errorf("the same files have another sum: %v", err)
	}
	files[preinstallDir+"60-empty.toml"] = "present = false"
	if other, err := config.LoadPreinstall(testtree.Make(t, files)); err != nil || other.Sum == got.Sum {
		t.Errorf("other files have the same sum: %v", err)
	}
}

func TestPreinstallMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"instal = ['sriov']":                `1:1: unknown key "instal"`,
		"install = ['sriov'":                `1:18: `,
		"\ninstall = 'sriov'":               `2:11: install: cannot decode TOML string`,
		"install = []":                      `1: the list is empty: name something, or leave it out`,
		"# x\ninstall = ['sriov', 'sriof']": `2: cannot understand "sriof": want a slot (0000:01:00.0)`,
		"present = 1":                       `1:11: present: cannot decode TOML integer`,
		"mode = 'observe'":                  `1:1: unknown key "mode"`,
	} {
		root := testtree.Make(t, map[string]string{preinstallDir + "50.toml": text})
		_, err := config.LoadPreinstall(root)
		if place := filepath.Join(root, preinstallDir, "50.toml") + ":"; err == nil || !strings.HasPrefix(err.Error(), place+want) {
			t.Errorf("%q: %v, want %s%s", text, err, place, want)
		}
	}
}
