// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon/config"
	"driverd/internal/testtree"
	"driverd/plan"
)

const (
	vendorDir = "usr/share/driverd/driverd.toml.d/"
	mainFile  = "etc/driverd/driverd.toml"
	localDir  = "etc/driverd/driverd.toml.d/"
)

// Everything that can be said, in every place, and what becomes of it.
func TestLoad(t *testing.T) {
	t.Parallel()
	root := testtree.Make(t, map[string]string{
		vendorDir + "50-vendor.toml": "mode = 'observe'\n\n[[rule]]\naction = 'deny'\nid = ['10DE:*']\nclass = ['03']\ngroup = ['gpu']\n",
		vendorDir + "60-gone.toml":   "mode = 'nonsense'",
		vendorDir + "README":         "nonsense",
		mainFile: `mode = "auto"
ignore_gates = ["container", "image-mode"]
[hold] # what I build myself
packages = ["kernel-modules-gpu", "kernel-modules-*"]
[[rule]]
action = "allow"
slot = ["0000:01:00.0", "10000:00:1f.7"]
module = ["snd-hda-intel", "nova_*"]
# Nothing else.
[[ rule ]]
# whatever
class = ["0200", "0C0330"]
action = "deny"
`,
		localDir + "60-gone.toml":    "children = 'install'",
		localDir + "70-short.toml":   "rule = [{action = 'allow'}, {action = 'deny', group = ['sriov', 'hardware']}]\nhold.packages = ['x']",
		localDir + ".#70-short.toml": "nonsense",
		localDir + "70-short.toml~":  "nonsense",
	})
	at := func(name string, line int) plan.Origin {
		return plan.Origin{File: filepath.Join(root, name), Line: line}
	}
	want := config.Config{
		Policy: plan.Policy{
			Rules: []plan.Rule{
				{IDs: []string{"10de:*"}, Classes: []string{"03"}, Groups: []string{"gpu"}, Origin: at(vendorDir+"50-vendor.toml", 3)},
				{
					Allow: true, Slots: []string{"0000:01:00.0", "10000:00:1f.7"}, Modules: []string{"snd_hda_intel", "nova_*"},
					Origin: at(mainFile, 5),
				},
				{Classes: []string{"0200", "0c0330"}, Origin: at(mainFile, 10)},
				{Allow: true, Origin: at(localDir+"70-short.toml", 1)},
				{Groups: []string{"sriov", "hardware"}, Origin: at(localDir+"70-short.toml", 1)},
			},
			Holds: []plan.Hold{
				{Package: "kernel-modules-gpu", Origin: at(mainFile, 4)},
				{Package: "kernel-modules-*", Origin: at(mainFile, 4)},
				{Package: "x", Origin: at(localDir+"70-short.toml", 2)},
			},
			InstallForChildren: true,
		},
		IgnoreGates: []string{"container", "image-mode"},
		Files: []string{
			filepath.Join(root, vendorDir, "50-vendor.toml"), filepath.Join(root, mainFile),
			filepath.Join(root, localDir, "60-gone.toml"), filepath.Join(root, localDir, "70-short.toml"),
		},
	}
	got, err := config.Load(root)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestNoFileIsNoRule(t *testing.T) {
	t.Parallel()
	got, err := config.Load(t.TempDir())
	if diff := cmp.Diff(config.Config{}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

// The later file decides what there can be one of.
func TestLaterWins(t *testing.T) {
	t.Parallel()
	const auto, observe = "mode = 'auto'", "mode = 'observe'"
	for _, test := range []struct {
		files map[string]string
		want  bool
	}{
		{map[string]string{vendorDir + "9.toml": auto, mainFile: observe}, true},
		{map[string]string{mainFile: observe, localDir + "0.toml": auto}, false},
		{map[string]string{localDir + "10.toml": observe, localDir + "9.toml": auto}, false},
		{map[string]string{localDir + "1.toml": observe, localDir + "9.toml": "# no mode"}, true},
	} {
		if got, err := config.Load(testtree.Make(t, test.files)); err != nil || got.Observe != test.want {
			t.Errorf("%v: observe %v, %v", test.files, got.Observe, err)
		}
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	root := testtree.Make(t, map[string]string{vendorDir + "50.toml": "[[rule]]\naction = 'deny'", localDir + "60.toml": ""})
	if err := os.Symlink("/dev/null", filepath.Join(root, localDir, "50.toml")); err != nil {
		t.Fatal(err)
	}
	if got, err := config.Load(root); err != nil || len(got.Policy.Rules) != 0 || len(got.Files) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// One error for each mistake, with the place and what would be right.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mdoe = 'auto'":                                 `1:1: unknown key "mdoe"`,
		"\n[holds]\npackages=[]":                        `2:2: unknown key "holds"`,
		"[[rule]]\naction='deny'\n slots = []\nids = 1": "3:2: unknown key \"rule.slots\"\n4:1: unknown key \"rule.ids\"",
		"mode = 'manual'":                               `1: cannot read "manual" as a mode: want "auto" or "observe"`,
		"\nmode = 1":                                    `2:8: mode: cannot decode TOML integer`,
		"mode = 'auto'\nmode = 'auto'":                  "2:1: mode: key mode ",
		"mode = ":                                       "1:7: expected value",
		"[[rule]]":                                      `1: cannot read "" as the action of a rule: want "allow" or "deny"`,
		"# x\n[[rule]]\nslot=['0000:01:00.0']\naction='no'": `4: cannot read "no" as the action of a rule: want "allow" or "deny"`,
		"[[rule]]\naction='deny'\nid = '10de:*'":            "3:6: rule.id: cannot decode TOML string",
		"[[rule]]\naction='deny'\nid = ['10de']":            `3: cannot read "10de" as an id: want a form like 8086:10c9 or 10de:*`,
		"[[rule]]\naction='deny'\nid = ['*:*']":             `3: cannot read "*:*" as an id: want a form like 8086:10c9 or 10de:*`,
		"[[rule]]\naction='deny'\nslot=['01:00.0']":         `3: cannot read "01:00.0" as a PCI slot: want a form like 0000:01:00.0`,
		"[[rule]]\naction='deny'\nclass=['3']":              `3: cannot read "3" as a class: want two, four or six hex digits, as in 03 or 0200`,
		"[[rule]]\naction='deny'\nclass=[3]":                `3:8: rule.class: cannot decode TOML integer`,
		"[[rule]]\naction='deny'\nclass=['-3', '+003', '0x03']": `3: cannot read "-3" as a class: want two, four or six hex digits, as in 03 or 0200` +
			"\n" + `3: cannot read "+003" as a class: want two, four or six hex digits, as in 03 or 0200` +
			"\n" + `3: cannot read "0x03" as a class: want two, four or six hex digits, as in 03 or 0200`,
		"[[rule]]\naction='deny'\ngroup=['sriov', 'nic']": `3: there is no group "nic": want one of base, sriov, gpu, passthrough, hardware`,
		"[[rule]]\naction='deny'\nmodule=['n[ao]v']":      `3: cannot read "n[ao]v" as a name: only * and ? stand for other characters`,
		"[[rule]]\naction='deny'\nmodule=['nouveau.ko']":  `3: cannot read "nouveau.ko" as the name of a module: want one without its file's suffix, as in nouveau`,
		"[[rule]]\naction='deny'\nmodule=['nova', 'kmod(snd-hda-intel.ko)', 'x.ko*']": `3: cannot read "kmod(snd-hda-intel.ko)" as the name of a module: want one without its file's suffix, as in snd_hda_intel` +
			"\n" + `3: cannot read "x.ko*" as the name of a module: want one without its file's suffix, as in nouveau`,
		"hold = {packages=['kernel-modules-7.2.12-1.x86_64']}": `1: cannot read "kernel-modules-7.2.12-1.x86_64" as the name of a package: want it without version and architecture`,
		"[[rule]]\naction='deny'\nmodule=[]":                   `3: the list is empty: name something, or leave it out`,
		"\nignore_gates = ['no-driver', 'image-mode']":         `2: there is no gate "no-driver" that could be ignored: want one of container, `,
		"children = 'yes'":                                     `1: cannot read "yes": want "report" or "install"`,
		"hold = {packages=['']}":                               `1: an empty name matches nothing`,
		"\xff":                                                 "1:1: ",
	} {
		root := testtree.Make(t, map[string]string{mainFile: text, localDir + "50.toml": "mode = ''"})
		_, err := config.Load(root)
		if err == nil {
			t.Errorf("%q is good", text)
			continue
		}
		wanted := strings.Split(want+"\n"+localDir+`50.toml:1: cannot read "" as a mode: want "auto" or "observe"`, "\n")
		got := strings.Split(strings.NewReplacer(filepath.Join(root, mainFile)+":", "", root+"/", "").Replace(err.Error()), "\n")
		// What the library says, it may say in other words one day.
		if !slices.EqualFunc(got, wanted, strings.HasPrefix) {
			t.Errorf("%q: %q, want %q", text, got, wanted)
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"is a folder":   func(path string) error { return os.Mkdir(path, 0o755) },
		"dangling":      func(path string) error { return os.Symlink("gone", path) },
		"links to self": func(path string) error { return os.Symlink(filepath.Base(path), path) },
	} {
		for _, file := range []string{mainFile, localDir + "50.toml"} {
			root := testtree.Make(t, map[string]string{vendorDir + "x.toml": "", localDir + "x.toml": ""})
			path := filepath.Join(root, file)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(root); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s %s: %v", file, name, err)
			}
		}
	}
	root := testtree.Make(t, map[string]string{"etc/driverd/driverd.toml.d": ""})
	if _, err := config.Load(root); err == nil || !strings.Contains(err.Error(), "cannot list the configuration") {
		t.Errorf("a file for a folder: %v", err)
	}
}

// Whatever a file holds, it is taken or complained of with its name; and a rule
// that was taken says where it stands.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "mode = 'observe'", "[[rule]]\naction='deny'\nid=['10de:*']\nclass=['03']\ngroup=['gpu']\nmodule=['nova*']\nslot=['0000:01:00.0']",
		"rule = [{action = 'allow'}]", "hold.packages = ['x']", "[hold]\npackages = ['x', '*']", "[[\"rule\"]]\n\"action\" = '''\ndeny'''",
		"rule = 1", "[rule]\naction='deny'", "[[rule]]\n[[rule]]", "[[rule.x]]", "hold = 1", "mode.x = 1", "#", "\r\n[[rule]]\r\naction='allow'\r\n",
	} {
		f.Add([]byte(seed))
	}
	root := f.TempDir()
	path := filepath.Join(root, mainFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(root)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, path) {
					t.Errorf("%q does not name the file", line)
				}
			}
			return
		}
		lines := strings.Count(string(text), "\n") + 1
		last := 0
		for _, r := range c.Policy.Rules {
			if r.Origin.File != path || r.Origin.Line < last || r.Origin.Line > lines {
				t.Errorf("a rule after line %d of %d is said to be at %s", last, lines, r.Origin)
			}
			last = r.Origin.Line
		}
	})
}
