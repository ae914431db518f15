// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon/config"
	"driverd/internal/testtree"
	"driverd/plan"
)

const (
	shippedVendors = "usr/share/driverd/vendor.d/"
	localVendors   = "etc/driverd/vendor.d/"
)

// minimal is what a drop-in has to say.
const minimal = `description = "Somebody's driver"
[devices]
match = ["1234:11e8"]
[kmod]
packages = ["kmod-edu"]
modules = ["edu"]
`

// Everything that a drop-in can say, and what enables it.
func TestVendors(t *testing.T) {
	t.Parallel()
	root := testtree.Make(t, map[string]string{
		shippedVendors + "card.toml": `description = "A maker's driver"
licence = "GPL-2.0"
companions = ["card-tool", "card-lib*"]
firmware = ["card-firmware"]
depends = ["libcard*"]
conflicts = ["old-card"]
[devices]
match = ["10DE:*", "pci:v00001234d*"]
class = ["03"]
except = ["10de:0001"]
[kmod]
packages = ["kmod-card*", "modalias(pci:v00001234d*)"]
modules = ["card", "card-extra"]
build = true
key = "Maker's key"
[proof]
node = "/dev/card0"
command = ["/usr/bin/card-tool", "--test"]
`,
		shippedVendors + "edu.toml":     "nonsense",
		shippedVendors + "README":       "nonsense",
		localVendors + "edu.toml":       minimal,
		localDir + "60-vendor-edu.toml": `vendors = ["edu"]`,
	})
	want := []plan.Vendor{
		{
			Name: "card", Description: "A maker's driver", Licence: "GPL-2.0",
			Match: []string{"10de:*", "pci:v00001234d*"}, Classes: []string{"03"}, Except: []string{"10de:0001"},
			Kmods: []string{"kmod-card*", "modalias(pci:v00001234d*)"}, Build: true, Key: "Maker's key", Modules: []string{"card", "card_extra"},
			Companions: []string{"card-tool", "card-lib*", "card-firmware"}, Depends: []string{"libcard*"}, Conflicts: []string{"old_card"},
			Node: "/dev/card0", Command: []string{"/usr/bin/card-tool", "--test"},
			Origin: plan.Origin{File: filepath.Join(root, shippedVendors, "card.toml"), Line: 1},
		},
		{
			Name: "edu", Enabled: true, Description: "Somebody's driver", Match: []string{"1234:11e8"}, Kmods: []string{"kmod-edu"}, Modules: []string{"edu"},
			Origin: plan.Origin{File: filepath.Join(root, localVendors, "edu.toml"), Line: 1},
		},
	}
	got, err := config.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Vendors); diff != "" {
		t.Error(diff)
	}
	// What conflicts with it must be kept away.
	enables := filepath.Join(root, localDir, "60-vendor-card.toml")
	testtree.Write(t, enables, `vendors = ["card"]`)
	if _, err := config.Load(root); err == nil || !strings.Contains(err.Error(), "driverd vendor enable card") {
		t.Errorf("without the file of modprobe.d: %v", err)
	}
	testtree.Write(t, filepath.Join(root, config.ConflictsFile("card")), "blacklist old_card\n")
	if got, err := config.Load(root); err != nil || !got.Vendors[0].Enabled {
		t.Errorf("%+v, %v", got.Vendors, err)
	}
	// A link to /dev/null takes a drop-in away.
	if err := os.Symlink("/dev/null", filepath.Join(root, localVendors, "card.toml")); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(root); err == nil || err.Error() != enables+`:1: there is no vendor's driver "card": driverd vendor lists those that are known` {
		t.Errorf("one that is taken away: %v", err)
	}
}

// What is wrong with a drop-in is refused, with file and line.
func TestBadVendors(t *testing.T) {
	t.Parallel()
	change := func(old, with string) string { return strings.Replace(minimal, old, with, 1) }
	for name, c := range map[string]struct{ text, want string }{
		"no TOML":                           {"=", ":1:1: "},
		"an unknown key":                    {minimal + "colour = 1\n", `:7:1: unknown key "kmod.colour"`},
		"an unknown table":                  {minimal + "[colours]\n", `:7:2: unknown key "colours"`},
		"nothing":                           {"", ":1: description must be there"},
		"no packages":                       {change(`packages = ["kmod-edu"]`, ""), ":4: kmod.packages must be there"},
		"an empty list":                     {change(`["edu"]`, "[]"), ":6: the list is empty"},
		"a text of two lines":               {change("Somebody's driver", `a\nb`), ":1: the text must be one line"},
		"all devices":                       {change("1234:11e8", "pci:v*"), ":3: cannot read \"pci:v*\" as a pattern of devices: it must name a vendor"},
		"all devices, in other words":       {change("1234:11e8", "pci:v????????d*"), ":3: cannot read"},
		"all vendors":                       {change("1234:11e8", "*:*"), `:3: cannot read "*:*" as an id`},
		"devices of a class of all vendors": {change("1234:11e8", "pci:v*d*sv*sd*bc03sc*i*"), ":3: cannot read"},
		"a device that is none of PCI's":    {change("1234:11e8", "usb:v1234p*"), ":3: cannot read"},
		"all packages":                      {change("kmod-edu", "*"), ":5: cannot read \"*\" as the name of a package: too many would match"},
		"most packages":                     {change("kmod-edu", "k*"), ":5: cannot read"},
		"a star in the middle":              {change("kmod-edu", "kmod-*-edu"), ":5: cannot read"},
		"the kernel":                        {change("kmod-edu", "kernel-core"), `:5: "kernel-core" would name packages of the kernel`},
		"the kernel, and others":            {change("kmod-edu", "kerne*"), ":5: "},
		"the kernel as a companion":         {"companions = ['kernel-modules*']\n" + minimal, ":1: "},
		"a kernel that comes along":         {"depends = ['kernel']\n" + minimal, ":1: "},
		"a package with its version":        {change("kmod-edu", "kmod-edu-1-1.x86_64"), ":5: "},
		"a path":                            {change("kmod-edu", "/tmp/evil.rpm"), ":5: "},
		"any capability":                    {change("kmod-edu", "modalias(*)"), ":5: cannot read \"modalias(*)\" as a capability"},
		"another capability":                {change("kmod-edu", "kmod(edu.ko)"), ":5: "},
		"a pattern of modules":              {change(`["edu"]`, `["e*"]`), ":6: cannot read \"e*\" as the name of a module"},
		"a file of a module":                {change(`["edu"]`, `["edu.ko"]`), ":6: "},
		"a conflict of all":                 {"conflicts = ['*']\n" + minimal, ":1: "},
		"a node that is no path":            {minimal + "[proof]\nnode = 'edu'\n", ":8: cannot read \"edu\" as a file"},
		"a command that is no path":         {minimal + "[proof]\ncommand = ['sh']\n", ":8: want the absolute path"},
	} {
		root := testtree.Make(t, map[string]string{shippedVendors + "edu.toml": c.text})
		_, err := config.Load(root)
		if err == nil || !strings.Contains(err.Error(), filepath.Join(root, shippedVendors, "edu.toml")+c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	root := testtree.Make(t, map[string]string{shippedVendors + "A b.toml": minimal})
	if _, err := config.Load(root); err == nil || !strings.Contains(err.Error(), "as the name of a vendor's driver") {
		t.Errorf("a name that is none: %v", err)
	}
}

// What the package ships is well-formed, disabled, and for the cards that it should be for.
func TestShippedVendors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../packaging/vendor.d/*.toml")
	if err != nil || len(files) != 4 {
		t.Fatalf("%q, %v", files, err)
	}
	shipped := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shipped[shippedVendors+filepath.Base(file)] = string(text)
	}
	known, err := config.Load(testtree.Make(t, shipped))
	if err != nil {
		t.Fatal(err)
	}
	nvidia := []string{"nvidia-open", "nvidia-open-el", "nvidia-rpmfusion"}
	for card, c := range map[string]struct {
		modalias string
		want     []string
	}{
		"a Tesla T4":       {"pci:v000010DEd00001EB8sv000010DEsd000012A2bc03sc02i00", nvidia},
		"an H100":          {"pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00", nvidia},
		"a vGPU of a T4":   {"pci:v000010DEd00001EB8sv000010DEsd0000130Fbc03sc00i00", nvidia},
		"a Tesla V100":     {"pci:v000010DEd00001DB4sv000010DEsd00001214bc03sc02i00", nil}, // Volta: the open modules do not drive it
		"a Tesla P4":       {"pci:v000010DEd00001BB3sv000010DEsd000011D8bc03sc02i00", nil},
		"the sound of one": {"pci:v000010DEd00001AEFsv000010DEsd00001454bc04sc03i00", nil},
		"an MI210":         {"pci:v00001002d0000740Fsv00001002sd00000C34bc03sc80i00", []string{"amdgpu-dkms"}},
		"a network card":   {"pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00", nil},
	} {
		subject, err := plan.ParseSubject(c.modalias)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range known.Vendors {
			if v.Enabled {
				t.Errorf("%s is enabled", v.Name)
			}
			if v.Drives(subject.Device) {
				got = append(got, v.Name)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", card, diff)
		}
	}
}
