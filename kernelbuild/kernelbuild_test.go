// SPDX-License-Identifier: Apache-2.0

package kernelbuild_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"driverd/kernelbuild"
)

func TestModulePattern(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"snd-hda-intel":   "snd_hda_intel",
		"igb*":            "igb*",
		"mlx[4-5]-core":   "mlx[4-5]_core",
		"[a-c]-[!x-z]-*":  "[a-c]_[!x-z]_*",
		"a-b[c-d":         "a_b[c-d",
		"a-b]c-d":         "a_b]c_d",
		"nvme-core[]x-z]": "nvme_core[]x_z]", // as kmod: the first ] ends the brackets
	} {
		if got := kernelbuild.ModulePattern(pattern); got != want {
			t.Errorf("%s became %s, want %s", pattern, got, want)
		}
	}
}

func TestModuleOfFile(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]struct{ module, plain string }{
		"igb.ko":                           {"igb", "igb.ko"},
		"kernel/drivers/net/igb.ko.xz":     {"igb", "kernel/drivers/net/igb.ko"},
		"kernel/sound/snd-hda-intel.ko.gz": {"snd_hda_intel", "kernel/sound/snd-hda-intel.ko"},
		"updates/a_b.ko.zst":               {"a_b", "updates/a_b.ko"},
		"kernel/a.ko.br":                   {},
		"kernel/a.ko.xz.bak":               {},
		"modules.dep":                      {},
		"a.kos":                            {},
		".ko":                              {},
		"kernel/.ko.xz":                    {},
		"":                                 {},
	} {
		plain, ok := kernelbuild.UncompressedFile(file)
		if module := kernelbuild.ModuleOfFile(file); module != want.module || plain != want.plain || ok != (plain != "") {
			t.Errorf("%q: module %q in %q (%v), want %q in %q", file, module, plain, ok, want.module, want.plain)
		}
	}
}

// What the split writes, the catalog reads.
func TestGroupOfSubpackage(t *testing.T) {
	t.Parallel()
	for _, group := range kernelbuild.Groups() {
		for _, variant := range []string{"kernel-", "kernel-64k-", "kernel-rt-"} {
			capability := variant + kernelbuild.Subpackage(group) + "-uname-r = 7.2.12"
			if got := kernelbuild.GroupOf([]string{"kmod(a.ko)", capability}); got != group {
				t.Errorf("%s says %s, want %s", capability, got, group)
			}
		}
	}
	for capability, want := range map[string]string{
		"kernel-modules-extra-uname-r = 7.2.12":    kernelbuild.Hardware,
		"kernel-modules-internal-uname-r = 7.2.12": kernelbuild.Hardware,
		"kernel-modules-base-uname-r = 7.2.12":     kernelbuild.Hardware, // no subpackage of that name is ours
		"kernel-core-uname-r = 7.2.12":             kernelbuild.Base,
		"kernel-modules = 7.2.12":                  kernelbuild.Base,
	} {
		if got := kernelbuild.GroupOf([]string{capability}); got != want {
			t.Errorf("%s says %s, want %s", capability, got, want)
		}
	}
}

// listsOfGroups finds what looks like a list of groups in a text: three names of
// groups or more, with markup and punctuation between them.
var listsOfGroups = regexp.MustCompile(`(?:\b(?:base|sriov|gpu|passthrough|hardware)\b[\s",.*` + "`" + `]*(?:(?:or|and)\b[\s",.*` + "`" + `]*)*){3,}`)

// The manual, the guides and the description of the bus list the groups in
// words. Each list has every group, or every one but Base.
func TestDocumentedGroups(t *testing.T) {
	t.Parallel()
	word := regexp.MustCompile(`\b(?:` + strings.Join(kernelbuild.Groups(), "|") + `)\b`)
	for glob, least := range map[string]int{
		"../packaging/man/*.scd": 5, "../api/*.xml": 2, "../docs/*.md": 1, "../units/*": 0,
	} {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", glob, len(files), err)
		}
		lists := 0
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, list := range listsOfGroups.FindAllString(string(text), -1) {
				lists++
				if got := word.FindAllString(list, -1); !slices.Equal(got, kernelbuild.Groups()) && !slices.Equal(got, kernelbuild.OptionalGroups()) {
					t.Errorf("%s lists the groups as %q, want %q, with or without %s", file, got, kernelbuild.Groups(), kernelbuild.Base)
				}
			}
		}
		if lists < least {
			t.Errorf("%s: %d lists of groups, want %d or more", glob, lists, least)
		}
	}
}
