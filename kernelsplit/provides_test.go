// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/kernelsplit"
)

// The forms are those that Fedora's kmod.attr and modalias.prov write.
func TestProvides(t *testing.T) {
	for _, test := range []struct {
		name   string
		module kernelsplit.Module
		want   []string
	}{
		{
			"one alias",
			kernelsplit.Module{Path: "kernel/igb.ko.xz", Aliases: []string{"pci:v00008086d000010C9sv*sd*bc*sc*i*"}},
			[]string{"kmod(igb.ko)", "modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*)"},
		},
		{
			"the file's name keeps its dashes",
			kernelsplit.Module{Path: "kernel/nvme-core.ko"},
			[]string{"kmod(nvme-core.ko)"},
		},
		{
			"neighbours become a set, others do not",
			kernelsplit.Module{Path: "kernel/ath9k.ko.zst", Aliases: []string{
				"pci:v0000168Cd00000029sv*sd*bc*sc*i*", "pci:v0000168Cd00000023sv*sd*bc*sc*i*",
				"pci:v0000168Cd00000027sv*sd*bc*sc*i*", "pci:v0000168Cd00000024sv*sd*bc*sc*i*",
				"pci:v0000168Cd0000002Asv*sd*bc*sc*i*", "pci:v0000168Dd0000002Bsv*sd*bc*sc*i*",
			}},
			[]string{
				"kmod(ath9k.ko)",
				"modalias(pci:v0000168Cd0000002[3479A]sv*sd*bc*sc*i*)",
				"modalias(pci:v0000168Dd0000002Bsv*sd*bc*sc*i*)",
			},
		},
		{
			"a set stays in the place where it began",
			kernelsplit.Module{Path: "kernel/a.ko", Aliases: []string{"pci:v1d1", "pci:v1d2", "pci:v2d2"}},
			[]string{"kmod(a.ko)", "modalias(pci:v1d[12])", "modalias(pci:v2d2)"},
		},
		{
			"what means something in a pattern is never put into a set",
			kernelsplit.Module{Path: "kernel/a.ko", Aliases: []string{"pci:v*", "pci:v1", "pci:v?"}},
			[]string{"kmod(a.ko)", "modalias(pci:v*)", "modalias(pci:v1)", "modalias(pci:v?)"},
		},
		{
			"the version, with what RPM cannot take replaced",
			kernelsplit.Module{Path: "kernel/a.ko", Version: "5.6.0-k,1", Aliases: []string{"pci:v*d*sv*sd*bc01sc08i02*"}},
			[]string{"kmod(a.ko)", "modalias(pci:v*d*sv*sd*bc01sc08i02*) = 5.6.0_k_1"},
		},
		{
			"characters that RPM ends a name at",
			kernelsplit.Module{Path: "kernel/a.ko", Aliases: []string{"of:N*T*Cfsl,imx(1) %x", "", "dmi*:pn:[a-c]?:"}},
			[]string{"kmod(a.ko)", "modalias(dmi*:pn:[a-c]?:)", "modalias(of:N*T*Cfsl_imx_1___x)"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := kernelsplit.Provides([]*kernelsplit.Module{&test.module})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Real modules, and what Fedora's generator wrote for them.
func TestProvidesAreFedoras(t *testing.T) {
	text, err := os.ReadFile("testdata/modalias.prov")
	if err != nil {
		t.Fatal(err)
	}
	stanzas := strings.Split(string(text), "\n\n")[1:]
	if len(stanzas) < 8 {
		t.Errorf("only %d modules", len(stanzas))
	}
	for _, stanza := range stanzas {
		var m kernelsplit.Module
		var want []string
		for line := range strings.Lines(stanza) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch key {
			case "module":
				m.Path = value
				want = append(want, "kmod("+m.File()+")")
			case "version":
				m.Version = value
			case "alias":
				m.Aliases = append(m.Aliases, value)
			case "provides":
				want = append(want, value)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, kernelsplit.Provides([]*kernelsplit.Module{&m})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", m.Path, diff)
		}
	}
}

// Sets only shorten: written out, they are the module's aliases again.
func TestProvidesKeepsEveryAlias(t *testing.T) {
	alias := rapid.StringMatching(`pci:v[01][-ABC]d[0-3*]`)
	set := regexp.MustCompile(`^modalias\((.*)\[(.+)\](.*)\)$`)
	rapid.Check(t, func(t *rapid.T) {
		aliases := rapid.SliceOf(alias).Draw(t, "aliases")
		var got []string
		for _, p := range kernelsplit.Provides([]*kernelsplit.Module{{Path: "kernel/a.ko", Aliases: aliases}})[1:] {
			parts := set.FindStringSubmatch(p)
			if parts == nil {
				got = append(got, strings.TrimSuffix(strings.TrimPrefix(p, "modalias("), ")"))
				continue
			}
			if strings.LastIndex(parts[2], "-") > 0 {
				t.Errorf("%q: the dash makes a range", p)
			}
			for _, c := range parts[2] {
				got = append(got, parts[1]+string(c)+parts[3])
			}
		}
		slices.Sort(got)
		slices.Sort(aliases)
		if want := slices.Compact(aliases); !slices.Equal(want, got) {
			t.Errorf("want %q, got %q", want, got)
		}
	})
}

func TestCapabilityVersion(t *testing.T) {
	for release, want := range map[string]string{
		"7.2.12+deb14-amd64":                 "7.2.12+deb14-amd64",
		"6.15.7-200.fc42.x86_64":             "6.15.7-200.fc42.x86_64",
		"6.12.0-55.el10.x86_64+64k-debug":    "6.12.0-55.el10.x86_64+64k_debug",
		"6.1.0-50-cloud-amd64":               "6.1.0-50_cloud_amd64",
		"6.12.87":                            "6.12.87",
		"6.12.0-55.20.1.el10_0.x86_64+debug": "6.12.0-55.20.1.el10_0.x86_64+debug",
	} {
		if got := kernelsplit.CapabilityVersion(release); got != want {
			t.Errorf("%s: want %s, got %s", release, want, got)
		}
	}
}
