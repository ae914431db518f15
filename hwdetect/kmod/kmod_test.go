// SPDX-License-Identifier: Apache-2.0

package kmod_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/modalias"
	"driverd/internal/testtree"
)

const igb = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"

func TestIndex(t *testing.T) {
	index, err := kmod.Read("testdata/modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, modalias     string
		installed, builtIn []string
	}{
		{"one owner", igb, []string{"igb"}, nil},
		{"two owners, in order", "pci:v00001002d00006798sv00001002sd00000000bc03sc00i00", []string{"radeon", "amdgpu"}, nil},
		{"by id and by class, once", "pci:v0000144Dd0000A822sv0000144Dsd00000000bc01sc08i02",
			[]string{"nvme"}, []string{"nvme_core"}},
		{"vendor and class", "pci:v000010DEd00001EB8sv000010DEsd00000000bc03sc02i00", []string{"nouveau"}, nil},
		{"name as the kernel spells it", "pci:v00008086d00001900sv00008086sd00000000bc04sc03i00", []string{"snd_hda_intel"}, nil},
		{"built in, and a set in the pattern", "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00",
			[]string{"bracketed"}, []string{"virtio_pci"}},
		{"unknown", "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00", nil, nil},
		{"other bus", "usb:v0BDAp8153d3000dc00dsc00dp00icFFiscFFip00in00", nil, nil},
		{"empty", "", nil, nil},
	} {
		if diff := cmp.Diff(c.installed, index.Installed(c.modalias)); diff != "" {
			t.Errorf("%s: Installed (-want +got):\n%s", c.name, diff)
		}
		if once, err := kmod.Installed("testdata/modules", c.modalias); err != nil || !slices.Equal(c.installed, once) {
			t.Errorf("%s: asked once: %v, %v, want %v", c.name, once, err, c.installed)
		}
		if diff := cmp.Diff(c.builtIn, index.BuiltIn(c.modalias)); diff != "" {
			t.Errorf("%s: BuiltIn (-want +got):\n%s", c.name, diff)
		}
	}
}

// An index for one identity knows as much of it as that of all.
func TestReadFor(t *testing.T) {
	const dir = "testdata/modules"
	all, err := kmod.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, identity := range []string{
		igb, modalias.Any(0x8086, 0x10c9), modalias.Any(0x144d, 0xa822), "pci:v0000144Dd0000A822sv0000144Dsd00000000bc01sc08i02",
		"pci:v000010DEd00001EB8sv000010DEsd00000000bc03sc02i00", "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00",
		"usb:v0BDAp8153d3000dc00dsc00dp00icFFiscFFip00in00", "pci:v0000", "pci:", "",
	} {
		one, err := kmod.ReadFor(dir, identity)
		if err != nil {
			t.Fatal(err)
		}
		for what, of := range map[string]func(*kmod.Index) any{
			"Installed": func(x *kmod.Index) any { return x.Installed(identity) },
			"BuiltIn":   func(x *kmod.Index) any { return x.BuiltIn(identity) },
			"Claims": func(x *kmod.Index) any {
				return slices.Concat(x.Claims(hwdetect.BuiltIn, identity), x.Claims(hwdetect.Installed, identity), x.Claims(hwdetect.Shipped, identity), x.Claims(hwdetect.InIndex, identity))
			},
		} {
			if diff := cmp.Diff(of(all), of(one)); diff != "" {
				t.Errorf("%s of %q (-all +one):\n%s", what, identity, diff)
			}
		}
	}
}

func TestClaims(t *testing.T) {
	index, err := kmod.Read("testdata/modules")
	if err != nil {
		t.Fatal(err)
	}
	const virtio = "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"
	for source, want := range map[hwdetect.Source][]hwdetect.Claim{
		hwdetect.BuiltIn:   {{Source: hwdetect.BuiltIn, Alias: "pci:v00001AF4d*sv*sd*bc*sc*i*", Module: hwdetect.Module{Name: "virtio_pci"}}},
		hwdetect.Installed: {{Source: hwdetect.Installed, Alias: "p[!x]i:v00001AF4d*sv*sd*bc*sc*i*", Module: hwdetect.Module{Name: "bracketed"}}},
		hwdetect.Shipped:   nil,
		hwdetect.InIndex:   nil, // the kernel came with an index of its own
		hwdetect.InCatalog: nil,
	} {
		if diff := cmp.Diff(want, index.Claims(source, virtio)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", source, diff)
		}
		if got := new(kmod.Index).Claims(source, igb); got != nil {
			t.Errorf("the zero Index claims %v", got)
		}
	}
}

func TestIndexWithoutFiles(t *testing.T) {
	index, err := kmod.Read(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatalf("Read: %v, want an empty index", err)
	}
	if got := append(index.Installed(igb), index.BuiltIn(igb)...); got != nil || index.Claims(hwdetect.Shipped, igb) != nil {
		t.Errorf("an empty index knows %v", got)
	}
	if got := new(kmod.Index).Installed(igb); got != nil {
		t.Errorf("the zero index knows %v", got)
	}
}

// What depmod has indexed may have been removed behind its back.
func TestIndexOfWhatIsGone(t *testing.T) {
	const alias = "alias pci:v00008086d000010C9sv*sd*bc*sc*i* %s\n"
	index := map[string]string{
		"modules.dep":            "kernel/igb-there.ko.xz: kernel/dca.ko\nkernel/igb-gone.ko.xz:\n/lib/modules/igb_elsewhere.ko:\n",
		"kernel/igb-there.ko.xz": "",
	}
	for _, module := range []string{"igb_gone", "igb_there", "igb_elsewhere", "igb_unknown", "igb_gone"} {
		index["modules.alias"] += fmt.Sprintf(alias, module)
	}
	dir := testtree.Make(t, index)
	want := []string{"igb_there", "igb_elsewhere", "igb_unknown"}
	all, err := kmod.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	once, err := kmod.Installed(dir, igb)
	if diff := cmp.Diff(want, once); err != nil || diff != "" {
		t.Errorf("asked once: %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(want, all.Installed(igb)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if claims := all.Claims(hwdetect.Installed, igb); len(claims) != len(want) {
		t.Errorf("claims %+v, want those of %v", claims, want)
	}
}

func TestIndexUnreadable(t *testing.T) {
	for _, name := range []string{"modules.alias", "modules.dep", "modules.builtin.modinfo", "modules.catalog"} {
		files := map[string]string{name + "/": ""}
		if name == "modules.dep" {
			files["modules.alias"] = "alias pci:* igb\n"
		}
		dir := testtree.Make(t, files)
		if _, err := kmod.Read(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is a directory: error %v, want one", name, err)
		}
		if _, err := kmod.NewCache(dir).Index(); err == nil {
			t.Errorf("%s is a directory: the cache returns no error", name)
		}
	}
}

// replace writes modules.alias as depmod does: a new file under the old name.
func replace(t *testing.T, dir, text string) {
	t.Helper()
	tmp := filepath.Join(dir, "modules.alias.tmp")
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, "modules.alias")); err != nil {
		t.Fatal(err)
	}
}

func TestCache(t *testing.T) {
	dir := t.TempDir()
	cache := kmod.NewCache(dir)
	read := func() *kmod.Index {
		t.Helper()
		index, err := cache.Index()
		if err != nil {
			t.Fatal(err)
		}
		return index
	}

	first := read()
	if got := first.Installed(igb); got != nil {
		t.Errorf("nothing is there yet, but Installed = %v", got)
	}
	if read() != first {
		t.Error("an empty index was read again")
	}

	const line = "alias pci:v00008086d000010C9sv*sd*bc*sc*i* %s\n"
	replace(t, dir, fmt.Sprintf(line, "igb"))
	second := read()
	if diff := cmp.Diff([]string{"igb"}, second.Installed(igb)); diff != "" {
		t.Errorf("after an install (-want +got):\n%s", diff)
	}
	if read() != second {
		t.Error("an unchanged index was read again")
	}

	catalog := filepath.Join(dir, "modules.catalog")
	if err := os.WriteFile(catalog, []byte("module igb\nalias pci:v00008086d000010C9sv*sd*bc*sc*i*\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := read().Claims(hwdetect.Shipped, igb); len(got) != 1 || got[0].Module.Name != "igb" {
		t.Errorf("after the kernel's index came, it claims %v", got)
	}

	// Same size, same time: the inode tells.
	name := filepath.Join(dir, "modules.alias")
	then := time.Unix(1700000000, 0)
	replace(t, dir, fmt.Sprintf(line, "abc"))
	if err := os.Chtimes(name, then, then); err != nil {
		t.Fatal(err)
	}
	read()
	replace(t, dir, fmt.Sprintf(line, "xyz"))
	if err := os.Chtimes(name, then, then); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"xyz"}, read().Installed(igb)); diff != "" {
		t.Errorf("after a replacement of the same size and time (-want +got):\n%s", diff)
	}

	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if got := read().Installed(igb); got != nil {
		t.Errorf("after a removal Installed = %v", got)
	}
}

func TestCacheConcurrentUse(t *testing.T) {
	cache := kmod.NewCache("testdata/modules")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if index, err := cache.Index(); err != nil || len(index.Installed(igb)) != 1 {
				t.Errorf("Index: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestLoaded(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "sys/module/snd_hda_intel"), 0o755); err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]bool{
		"snd_hda_intel": true, "snd-hda-intel": true, "igb": false,
		"": false, ".": false, "..": false, "../module": false, "snd_hda_intel/": false,
	} {
		if got := kmod.Loaded(root, module); got != want {
			t.Errorf("Loaded(%q) = %v, want %v", module, got, want)
		}
	}
}

// distribution writes a modules.alias of the size and mix of a distribution's
// kernel: 28,000 lines, a third of them PCI, 15 to a module.
func distribution(b *testing.B) string {
	dir := b.TempDir()
	var text strings.Builder
	for i := range 28000 {
		if i%3 == 0 {
			fmt.Fprintf(&text, "alias pci:v%08Xd%08Xsv*sd*bc*sc*i* pci_driver_%d\n", 0x8000+i%97, 0x1000+i/97, i/15)
		} else {
			fmt.Fprintf(&text, "alias usb:v%04Xp%04Xd*dc*dsc*dp*ic*isc*ip*in* usb_driver_%d\n", 0x0BDA+i%97, i, i/15)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "modules.alias"), []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	return dir
}

func BenchmarkRead(b *testing.B) {
	dir := distribution(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := kmod.Read(dir); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCacheUnchanged(b *testing.B) {
	cache := kmod.NewCache(distribution(b))
	for b.Loop() {
		if _, err := cache.Index(); err != nil {
			b.Fatal(err)
		}
	}
}
