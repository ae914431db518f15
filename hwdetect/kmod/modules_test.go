// SPDX-License-Identifier: Apache-2.0

package kmod_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/modalias"
)

const qlogic = "pci:v00001077d00001664sv00001077sd00000001bc02sc00i00"

func TestShipped(t *testing.T) {
	index, err := kmod.Read("testdata/modules")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		modalias string
		want     []hwdetect.Module
	}{
		"one":                       {igb, []hwdetect.Module{{Name: "igb", Group: "sriov"}}},
		"firmware of a library too": {qlogic, []hwdetect.Module{{Name: "qede", Group: "sriov", Firmware: []string{"qede.bin", "qed/qed_init_values_zipped-8.59.1.0.bin"}}}},
		"two, in order, each once": {"pci:v00001002d00006798sv00001002sd00000000bc03sc00i00",
			[]hwdetect.Module{{Name: "radeon", Group: "gpu"}, {Name: "amdgpu", Group: "gpu"}}},
		"unknown":   {"pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00", nil},
		"other bus": {"usb:v0BDAp8153d3000dc00dsc00dp00ic02isc06ip00in00", nil},
		"empty":     {"", nil},
	} {
		if diff := cmp.Diff(test.want, claiming(index.Claims(hwdetect.Shipped, test.modalias))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// claiming returns the modules of claims, each once.
func claiming(claims []hwdetect.Claim) []hwdetect.Module {
	var all []hwdetect.Module
	for _, c := range claims {
		if !slices.ContainsFunc(all, func(m hwdetect.Module) bool { return m.Name == c.Module.Name }) {
			all = append(all, c.Module)
		}
	}
	return all
}

// shipped reads a catalog of this text.
func shipped(t *testing.T, text string) *kmod.Index {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "modules.catalog"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	index, err := kmod.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestShippedGarbage(t *testing.T) {
	const alias = "alias pci:v00008086d000010C9sv*sd*bc*sc*i*\n"
	good := []hwdetect.Module{{Name: "snd_hda_intel"}}
	for name, test := range map[string]struct {
		text string
		want []hwdetect.Module
	}{
		"a dash in the name":             {"module snd-hda-intel\n" + alias, good},
		"no last newline":                {"module snd-hda-intel\n" + strings.TrimSpace(alias), good},
		"a stanza in two parts":          {"module snd-hda-intel\n\nmodule snd_hda_intel\n" + alias, good},
		"before any module":              {alias, nil},
		"a module without a name":        {"module\n" + alias, nil},
		"a name that is a path":          {"module ../igb\n" + alias, nil},
		"a name of two words":            {"module igb igb\n" + alias, nil},
		"a name that nobody could print": {"module igb\xff\n" + alias, nil},
		"a broken name ends the last":    {"module a\n\nmo\x00dule igb\n" + alias, nil},
		"an alias of two words":          {"module igb\nalias pci:v00008086* igb\n", nil},
		"an alias without its text":      {"module igb\nalias\nalias \n", nil},
		"of an unknown module":           {"module snd-hda-intel\ndepends nothing\n" + alias, good},
		"of itself":                      {"module snd-hda-intel\ndepends snd-hda-intel\n" + alias, good},
		"an unknown key":                 {"module snd-hda-intel\nlicence GPL\n\t\n" + alias, good},
		"a line without an end":          {"module snd-hda-intel\nfirmware " + strings.Repeat("x", 1<<20) + "\n" + alias, good},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, claiming(shipped(t, test.text).Claims(hwdetect.Shipped, igb))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Which version an index is of says its first line, and that it is whole its last. One
// that is not read harms nothing else, and another one takes its place.
func TestIndexVersion(t *testing.T) {
	const stanza = "\nmodule igb\nalias pci:v00008086d000010C9sv*sd*bc*sc*i*\n"
	for name, test := range map[string]struct {
		text, problem string
		source        hwdetect.Source
	}{
		"of the first catalogs": {"# modules of Linux 7.2\n" + stanza, "", hwdetect.Shipped},
		"of this version":       {"# driverd modules 1 of Linux 7.2\n" + stanza + "\n# end\n", "", hwdetect.Shipped},
		"of another one":        {"# driverd modules 2 of Linux 7.2\n" + stanza + "\n# end\n", `of version "2", and driverd reads version 1`, hwdetect.InIndex},
		"of none":               {"# driverd modules \n" + stanza + "\n# end\n", `of version ""`, hwdetect.InIndex},
		"cut short":             {"# driverd modules 1 of Linux 7.2\n" + stanza, "modules.catalog: it is cut short", hwdetect.InIndex},
		"cut very short":        {"# driverd modules 1", "cut short", hwdetect.InIndex},
	} {
		t.Run(name, func(t *testing.T) {
			index := shipped(t, test.text)
			problem := ""
			if err := index.Problem(); err != nil {
				problem = err.Error()
			}
			if !strings.Contains(problem, test.problem) || (problem == "") != (test.problem == "") {
				t.Errorf("the problem is %q, want %q", problem, test.problem)
			}
			for _, source := range []hwdetect.Source{hwdetect.Shipped, hwdetect.InIndex} {
				claims := index.Claims(source, igb)
				if found := len(claims) == 1 && claims[0].Module.Name == "igb"; found != (source == test.source) {
					t.Errorf("%s: %v", source, claims)
				}
			}
		})
	}
}

// The index that driverd ships is whole, and knows what the reports are about.
func TestGeneralIndex(t *testing.T) {
	index, err := kmod.Read(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for device, want := range map[string]string{
		igb: "igb",
		"pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00": "nouveau",
		modalias.Any(0x10de, 0x2330):                            "nouveau",
		"pci:v000015ADd000007B0sv000015ADsd000007B0bc02sc00i00": "vmxnet3",
		"pci:v0000144Dd0000A80Asv0000144Dsd0000A801bc01sc08i02": "nvme",
		"pci:v00001077d00001664sv00001077sd00000001bc02sc00i00": "qede",
	} {
		found := claiming(index.Claims(hwdetect.InIndex, device))
		i := slices.IndexFunc(found, func(m hwdetect.Module) bool { return m.Name == want })
		if i < 0 {
			t.Errorf("%s: %v, want %s", device, found, want)
		} else if want == "qede" && !slices.ContainsFunc(found[i].Firmware, func(f string) bool { return strings.HasPrefix(f, "qed/") }) {
			t.Errorf("%s asks for %v", want, found[i].Firmware)
		}
	}
	if got := index.Claims(hwdetect.InIndex, "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00"); got != nil {
		t.Errorf("edu: %v", got)
	}
}

// FuzzShipped reads whatever is there: what claims a device does so by an alias
// that matches, and a stanza after the garbage is read for what it is.
func FuzzShipped(f *testing.F) {
	seed, err := os.ReadFile("testdata/modules/modules.catalog")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)/2])
	f.Add([]byte("module a\nalias *\nalias p?i:[!x]*\nalias pci:v[\n"))
	f.Add([]byte("# driverd modules 1 of\n# end\n"))
	f.Add([]byte("module\x00igb\r\ngroup \xff\nalias pci:v00008086d000010C9sv*\n\n\n"))
	f.Add([]byte("module last\ndepends last\nfirmware a\nfirmware a\n" + strings.Repeat("y", 5000)))
	f.Fuzz(func(t *testing.T, text []byte) {
		const last = "module the_last\ngroup gpu\nalias " + igb + "\n"
		index := shipped(t, string(text)+"\n\n"+last)
		modules := map[string]hwdetect.Module{}
		for _, m := range claiming(index.Claims(hwdetect.Shipped, igb)) {
			if _, twice := modules[m.Name]; twice || m.Name == "" || strings.ContainsAny(m.Name, "/- \n") {
				t.Errorf("module %q of %d", m.Name, len(modules))
			}
			modules[m.Name] = m
		}
		if _, there := modules["the_last"]; !there && index.Problem() == nil {
			t.Error("garbage hides what comes after it")
		}
		for _, c := range index.Claims(hwdetect.Shipped, igb) {
			if _, known := modules[c.Module.Name]; !known || !modalias.Match(c.Alias, igb) {
				t.Errorf("claim %+v", c)
			}
		}
	})
}

// BenchmarkShipped looks a device up in an index of 10,000 aliases.
func BenchmarkShipped(b *testing.B) {
	var text strings.Builder
	for i := range 10000 {
		if i%15 == 0 {
			fmt.Fprintf(&text, "\nmodule pci_driver_%d\ngroup hardware\nfirmware vendor/driver-%d.bin\n", i/15, i/15)
		}
		fmt.Fprintf(&text, "alias pci:v%08Xd%08Xsv*sd*bc*sc*i*\n", 0x8000+i%97, 0x1000+i/97)
	}
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "modules.catalog"), []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	index, err := kmod.Read(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(index.Claims(hwdetect.Shipped, "pci:v00008000d00001000sv00000000sd00000000bc02sc00i00")) != 1 {
			b.Fatal("not found")
		}
	}
}
