// SPDX-License-Identifier: Apache-2.0

package kmod_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/modalias"
	"driverd/internal/testtree"
)

func TestTree(t *testing.T) {
	files := map[string]string{
		"modules.dep": "kernel/net/8021q.ko.xz: kernel/net/garp.ko.xz kernel/net/stp-x.ko.xz\n" +
			"kernel/net/garp.ko.xz:\nkernel/net/stp-x.ko.xz:\nno module:\n",
		"modules.builtin":          "kernel/drivers/virtio/virtio-pci.ko\n",
		"modules.softdep":          "# Soft dependencies extracted from modules themselves.\nsoftdep vfio-x pre: a-b cpost: d\nsoftdep odd\n",
		"kernel/net/8021q.ko.xz":   "",
		"kernel/net/garp.ko.xz":    "",
		"kernel/net/stp-x.ko.xz":   "",
		"kernel/igb/igb-vf.ko.zst": "",
		"updates/mega.ko":          "",
		"kernel/raid.ko.gz":        "",
		"kernel/half.ko.xz;6543":   "", // rpm is still writing it
		"kernel/README":            "",
		"kernel/dir.ko/":           "",
	}
	for name, order := range map[string]string{
		"without modules.order": "",
		"with modules.order": "kernel/net/8021q.ko\nkernel/igb/igb-vf.ko\nkernel/raid.ko\nkernel/half.ko\nkernel/dir.ko\n" +
			"kernel/not-here.ko\n/kernel/absolute.ko\n../x/kernel/raid.ko\nigb-vf.ko\n.ko\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			files["modules.order"] = order
			f, err := kmod.ReadTree(testtree.Make(t, files))
			if err != nil {
				t.Fatal(err)
			}
			for module, want := range map[string]string{
				"8021q": "kernel/net/8021q.ko.xz", "stp-x": "kernel/net/stp-x.ko.xz", "igb-vf": "kernel/igb/igb-vf.ko.zst",
				"raid": "kernel/raid.ko.gz", "mega": "updates/mega.ko", "virtio_pci": "", "half": "", "not_here": "", "dir": "", "vf": "", "": "",
			} {
				if got := f.Path(module); got != want {
					t.Errorf("Path(%q) = %q, want %q", module, got, want)
				}
			}
			if !f.IsFresh("igb-vf") || f.IsFresh("8021q") || f.IsFresh("not_here") || !f.BuiltIn("virtio-pci") || f.BuiltIn("garp") {
				t.Error("fresh or built in is what is not, or is not what is")
			}
			fresh, err := f.Fresh()
			if diff := cmp.Diff([]string{"igb_vf", "mega", "raid"}, fresh); err != nil || diff != "" {
				t.Errorf("Fresh: %v (-want +got):\n%s", err, diff)
			}
			if diff := cmp.Diff([]string{"garp", "stp_x"}, f.Depends("8021q")); diff != "" {
				t.Errorf("Depends (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"a-b", "c", "d"}, f.Softdeps("vfio-x")); diff != "" {
				t.Errorf("Softdeps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTreeThatCannotBeTold(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"two of one name":               {"kernel/igb.ko": "", "updates/igb.ko.xz": ""},
		"the kernel's own, and another": {"modules.order": "kernel/igb.ko\n", "kernel/igb.ko.gz": "", "updates/igb.ko.xz": ""},
		"an indexed one beside":         {"modules.dep": "kernel/igb.ko:\n", "updates/igb.ko.xz": ""},
		"no index to read":              {"modules.dep/": ""},
	} {
		if f, err := kmod.ReadTree(testtree.Make(t, files)); err == nil {
			t.Errorf("%s: %+v, want an error", name, f)
		}
	}
	if f, err := kmod.ReadTree(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Errorf("no folder at all: %+v", f)
	}
}

// FuzzTree reads whatever depmod may have left when it was killed: what is well
// is found behind it.
func FuzzTree(f *testing.F) {
	f.Add("kernel/a.ko.xz: kernel/b.ko\nkernel/b.ko:\n", "alias pci:v00008086d*sv* a\n", "softdep a pre: b post: c\n", "kernel/x.ko\n", "x.alias=pci:v*\x00", "kernel/a.ko\n")
	f.Add("", "", "", "", "", "")
	f.Add(":\n::\nkernel/\n: : :\n/../../x.ko: ../y.ko\n", "alias\nalias  \nalias [ x\nalias pci:v[ a b\n", "softdep\nsoftdep  \n", "\n\xff\n", "\x00\x00.alias=\x00", "\n.ko\n/.ko\n/a.ko\n../fresh.ko\n")
	f.Add("igb.ko.zst.xz: igb.ko\nigb.ko", "alias pci:v00008086d000010C9* ig\xffb", "softdep * pre: *", "igb.ko", "a.alias=pci:v", "fresh.ko\nkernel/fresh.ko")
	f.Fuzz(func(t *testing.T, dep, alias, softdep, builtin, modinfo, order string) {
		dir := testtree.Make(t, map[string]string{
			"modules.dep":             dep + "\nkernel/the_last.ko: kernel/the_other.ko\n",
			"modules.alias":           alias + "\nalias " + igb + " the_last\n",
			"modules.softdep":         softdep,
			"modules.builtin":         builtin,
			"modules.builtin.modinfo": modinfo,
			"modules.order":           order + "\nkernel/the-fresh.ko\n",
			"kernel/the_last.ko":      "",
			"kernel/the-fresh.ko.xz":  "",
		})
		known, err := kmod.ReadTree(dir)
		if err != nil {
			t.Fatal(err)
		}
		if known.Path("the_last") == "" || len(known.Depends("the_last")) == 0 {
			t.Error("garbage hides what comes after it")
		}
		if !strings.Contains(dep, "fresh") && known.Path("the_fresh") != "kernel/the-fresh.ko.xz" {
			t.Errorf("what is fresh is in %q", known.Path("the_fresh"))
		}
		for _, name := range known.Softdeps("the_last") {
			if name == "" {
				t.Error("a soft dependency has no name")
			}
		}
		index, err := kmod.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(index.Installed(igb), "the_last") {
			t.Error("garbage hides the alias that comes after it")
		}
		for _, c := range index.Claims(hwdetect.Installed, igb) {
			if c.Module.Name == "" || !modalias.Match(c.Alias, igb) {
				t.Errorf("claim %+v", c)
			}
		}
	})
}
