// SPDX-License-Identifier: Apache-2.0

package modprobe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"driverd/hwdetect/modalias"
	"driverd/hwdetect/modprobe"
	"driverd/internal/testtree"
	"driverd/kernelbuild"
)

const iavf = "pci:v00008086d00001889sv00008086sd00000000bc02sc00i00"

func TestDenial(t *testing.T) {
	t.Parallel()
	const file = "etc/modprobe.d/dpdk.conf"
	for name, test := range map[string]struct {
		files  map[string]string
		module string
		want   string // empty if nothing forbids it
	}{
		"nothing":                     {nil, "iavf", ""},
		"another module":              {map[string]string{file: "blacklist i40evf\n"}, "iavf", ""},
		"blacklist":                   {map[string]string{file: "# for DPDK\n\nblacklist iavf\n"}, "iavf", `"blacklist iavf" in /etc/modprobe.d/dpdk.conf:3`},
		"dash and underscore":         {map[string]string{file: "blacklist snd-hda-intel"}, "snd_hda_intel", `"blacklist snd-hda-intel" in /etc/modprobe.d/dpdk.conf:1`},
		"a dash between brackets":     {map[string]string{file: "blacklist x[a-b]-c"}, "x[a-b]_c", `"blacklist x[a-b]-c" in /etc/modprobe.d/dpdk.conf:1`},
		"which is no underscore":      {map[string]string{file: "blacklist x[a-b]-c"}, "x[a_b]_c", ""},
		"blacklist is no pattern":     {map[string]string{file: "blacklist iav*"}, "iavf", ""},
		"continued":                   {map[string]string{file: "options a \\\n b\nblack\\\nlist iavf"}, "iavf", `"blacklist iavf" in /etc/modprobe.d/dpdk.conf:3`},
		"a continued comment":         {map[string]string{file: "# \\\nblacklist iavf"}, "iavf", ""},
		"of DOS":                      {map[string]string{file: "blacklist iavf\r\n"}, "iavf", ""}, // to modprobe as well
		"install":                     {map[string]string{file: "install iavf /bin/false"}, "iavf", `"install iavf /bin/false" in /etc/modprobe.d/dpdk.conf:1`},
		"install true, with a remark": {map[string]string{file: "install ia?f /usr/bin/true # CIS 1.1"}, "iavf", `"install ia?f /usr/bin/true # CIS 1.1" in /etc/modprobe.d/dpdk.conf:1`},
		"install that loads it":       {map[string]string{file: "install iavf /sbin/modprobe --ignore-install iavf; /bin/true"}, "iavf", ""},
		"install false, or else":      {map[string]string{file: "install iavf /bin/false || modprobe -i iavf"}, "iavf", ""},
		"alias to nothing":            {map[string]string{file: "alias pci:v00008086d00001889sv*sd*bc*sc*i* off"}, "iavf", `"alias pci:v00008086d00001889sv*sd*bc*sc*i* off" in /etc/modprobe.d/dpdk.conf:1`},
		"alias to it":                 {map[string]string{file: "alias pci:v00008086d00001889* off\nalias pci:v00008086d00001889* iavf"}, "iavf", ""},
		"alias of another device":     {map[string]string{file: "alias pci:v00008086d0000154C* off\nalias iavf off"}, "iavf", ""},
		"a file of another name":      {map[string]string{"etc/modprobe.d/iavf.conf.rpmsave": "blacklist iavf", "etc/modprobe.d/.x.conf": "blacklist iavf"}, "iavf", ""},
		"the packages' folder":        {map[string]string{"usr/lib/modprobe.d/iavf-blacklist.conf": "blacklist iavf"}, "iavf", `"blacklist iavf" in /usr/lib/modprobe.d/iavf-blacklist.conf:1`},
		"a namesake hides it":         {map[string]string{"usr/lib/modprobe.d/x.conf": "blacklist iavf", "run/modprobe.d/x.conf": ""}, "iavf", ""},
		"command line":                {map[string]string{modprobe.CommandLine: "ro module_blacklist=nouveau,iavf quiet\n"}, "iavf", `"module_blacklist=nouveau,iavf" on the kernel command line`},
		"command line, the last":      {map[string]string{modprobe.CommandLine: "module_blacklist=iavf module_blacklist=nouveau"}, "iavf", ""},
		"command line, of init":       {map[string]string{modprobe.CommandLine: "ro -- module_blacklist=iavf"}, "iavf", ""},
		"command line, misspelled":    {map[string]string{modprobe.CommandLine: "module_blacklist=snd-hda-intel"}, "snd_hda_intel", ""}, // to the kernel as well
		"command line, for modprobe":  {map[string]string{modprobe.CommandLine: "modprobe.blacklist=nouveau modprobe.blacklist=snd-hda-intel"}, "snd-hda-intel", `"modprobe.blacklist=snd-hda-intel" on the kernel command line`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := modprobe.Read(testtree.Make(t, test.files)).Denial(iavf, test.module); got != test.want {
				t.Errorf("it is %s, want %s", got, test.want)
			}
		})
	}
}

// What others have put into a folder may be no file, or have no end.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	root := testtree.Make(t, map[string]string{
		"etc/modprobe.d/50-long.conf": strings.Repeat("blacklist x\n", 1<<17) + "blacklist iavf\n",
		"etc/modprobe.d/60-bad.conf":  "blacklist\x00\xff iavf\n\\",
		"etc/modprobe.d/90-last.conf": "blacklist ice",
	})
	dir := filepath.Join(root, "etc/modprobe.d")
	for name, target := range map[string]string{"10-zero.conf": "/dev/zero", "11-loop.conf": "11-loop.conf", "12-gone.conf": "/nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "13-fifo.conf"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "14-folder.conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := modprobe.Read(root)
	if got := c.Denial(iavf, "ice"); got != `"blacklist ice" in /etc/modprobe.d/90-last.conf:1` {
		t.Errorf("the good file says %s", got)
	}
	if got := c.Denial(iavf, "iavf"); got != "" {
		t.Errorf("it is %s", got)
	}
}

// The lines mean what they mean to modprobe.
func TestAsModprobeReadsIt(t *testing.T) {
	t.Parallel()
	word := rapid.SampledFrom([]string{"blacklist", "install", "alias", "options", "softdep", "pre:", "post:", "iavf", "snd-hda", "/bin/true", "pci:v*", " ", "\t", "\n", "\\\n", "\\", "#", "x[a-b]-c"})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(word, 0, 20).Draw(t, "words"), "")
		if strings.HasSuffix(text, "\\") {
			text += "\n" // where kmod reads beyond the end
		}
		dir, err := os.MkdirTemp("", "modprobe")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		folder := filepath.Join(dir, modprobe.Folders[0])
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "x.conf"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		shown, err := exec.CommandContext(t.Context(), "/sbin/modprobe", "--config", folder, "--showconfig").Output()
		if err != nil {
			t.Fatal(err)
		}
		c := modprobe.Read(dir)
		for _, module := range []string{"iavf", "snd_hda", "x[a_b]_c", "x[a-b]_c"} {
			want := slices.Contains(strings.Split(string(shown), "\n"), "blacklist "+module)
			if got := strings.HasPrefix(c.Denial("usb:", module), `"blacklist `); got != want {
				t.Fatalf("%q: %s is blacklisted: %v, want %v", text, module, got, want)
			}
			var command string
			var soft []string
			for line := range strings.Lines(string(shown)) {
				words := strings.Fields(strings.NewReplacer("pre:", " ", "post:", " ").Replace(line))
				switch {
				case len(words) < 3 || !modalias.Match(words[1], module):
				case words[0] == "install" && command == "":
					command = strings.Join(words[2:], " ")
				case words[0] == "softdep":
					soft = append(soft, words[2:]...)
				}
			}
			known := c.Softdeps(module)
			for _, name := range soft {
				if !slices.Contains(known, kernelbuild.ModuleName(name)) {
					t.Fatalf("%q: %s needs softly %q, want %q", text, module, known, soft)
				}
			}
			if got := c.Command(module); !strings.Contains(text, "pre:") && !strings.Contains(text, "post:") && got != command {
				t.Fatalf("%q: %s is loaded by %q, want %q", text, module, got, command)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add("blacklist iavf\n", "module_blacklist=iavf")
	f.Add("install * /bin/false\\\n# \nalias pci:* off", "modprobe.blacklist=,,=")
	f.Fuzz(func(t *testing.T, file, line string) {
		c := modprobe.Read(testtree.Make(t, map[string]string{"etc/modprobe.d/x.conf": file, modprobe.CommandLine: line}))
		if why := c.Denial(iavf, "iavf"); why != "" && !strings.Contains(why, "in /etc/modprobe.d/x.conf:") && !strings.HasSuffix(why, "on the kernel command line") {
			t.Errorf("it does not say where: %s", why)
		}
	})
}
