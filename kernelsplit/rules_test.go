// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"driverd/kernelsplit"
)

func TestRules(t *testing.T) {
	igb := &kernelsplit.Module{
		Path:    "kernel/drivers/net/ethernet/intel/igb/igb-core.ko.xz",
		Imports: []string{"pci_enable_sriov"},
		Aliases: []string{"pci:v00008086d000010C9sv*sd*bc*sc*i*"},
		Depends: []string{"lib_core"},
	}
	lib := &kernelsplit.Module{Path: "kernel/lib-core.ko", Imports: []string{"printk"}}
	for rule, want := range map[string]bool{
		"path=kernel/drivers/net/":                  true,
		"path=kernel/drivers/net":                   false,
		"path=kernel/drivers/net/*.ko":              false,
		"path=kernel/drivers/net/*/*/*/igb-core.ko": true,
		"name=igb-core":                             true,
		"name=igb_*":                                true,
		"name=igb":                                  false,
		"name=other,igb_core":                       true,
		"alias=pci:*":                               true,
		"alias=usb:*":                               false,
		"imports=pci_enable_sriov":                  true,
		"imports=printk":                            true, // through lib-core
		"imports=printf":                            false,
		"depends=lib-core":                          true,
		"depends=igb-core":                          false,
		"path=kernel/ name=igb* alias=pci:* depends=lib*": true,
		"path=kernel/ name=igb* alias=usb:*":              false,
	} {
		rules := parse(t, "sriov "+rule+"  # comment\n\n# comment\nhardware path=kernel/")
		split, err := kernelsplit.Divide(release, []*kernelsplit.Module{igb, lib}, rules)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(split.In(kernelsplit.SRIOV), igb); got != want {
			t.Errorf("%s: want %v, got %v", rule, want, got)
		}
	}
}

func TestParseRulesRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"base name=a\nnics name=b":      `line 2: cannot read "nics" as a group`,
		"base":                          `line 1: "base" has no condition`,
		"base name=a colour=red":        `unknown condition "colour=red"`,
		"base name":                     `bad pattern "" in "name"`,
		"base name=a,,b":                `bad pattern "" in "name=a,,b"`,
		"base name=[a":                  `bad pattern "[a" in "name=[a"`,
		"base name=a,b\n\ngpu name=c,b": `line 3: "gpu name=c,b" names b, and so does "base name=a,b" (line 1)`,
	} {
		if _, err := kernelsplit.ParseRules(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func parse(t *testing.T, text string) kernelsplit.Rules {
	t.Helper()
	rules, err := kernelsplit.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func sortedKeys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
