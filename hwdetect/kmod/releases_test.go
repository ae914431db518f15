// SPDX-License-Identifier: Apache-2.0

package kmod_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"driverd/hwdetect/kmod"
)

// fill makes files below a folder; what ends with a slash is a folder.
func fill(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil && text != "/" {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReleases(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"one":                       {map[string]string{"7.2/modules.alias": ""}, []string{"7.2"}},
		"two":                       {map[string]string{"7.2/modules.alias": "", "7.10/modules.dep": ""}, []string{"7.10", "7.2"}},
		"lists of symbols":          {map[string]string{"7.2/modules.alias": "", "kabi-rhel90/kabi_x86_64": ""}, []string{"7.2"}},
		"modules of a kernel gone":  {map[string]string{"7.2/modules.alias": "", "7.1/extra/igb/igb.ko": ""}, []string{"7.2"}},
		"the same, indexed":         {map[string]string{"7.2/modules.alias": "", "7.2/modules.builtin": "", "7.1/modules.alias": ""}, []string{"7.2"}},
		"a kernel without an index": {map[string]string{"7.2/kernel/x": "/", "file": ""}, []string{"7.2"}},
		"none":                      {map[string]string{"file": ""}, nil},
	} {
		dir := fill(t, test.files)
		if err := os.Symlink("kabi-rhel90", filepath.Join(dir, "kabi-current")); err != nil {
			t.Fatal(err)
		}
		if got, err := kmod.Releases(dir); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := kmod.Releases(filepath.Join(t.TempDir(), "nowhere")); err == nil {
		t.Errorf("of no folder: %v", got)
	}
}

func TestLoadedAndLacking(t *testing.T) {
	t.Parallel()
	root := fill(t, map[string]string{
		"proc/modules":                    "snd_hda_intel 1 0 - Live 0x0\nigb 2 1 - Live 0x0 (OE)\nlibcrc32c 2 2 xfs,raid456, Live 0x0\nvirtio_net 3 0 - Live 0x0\nnvidia 3 0 - Live 0x0 (POE)\n",
		"lib/modules/7.2/modules.dep":     "kernel/sound/snd-hda-intel.ko.xz: kernel/sound/snd.ko.xz\nkernel/igb.ko:\n",
		"lib/modules/7.2/modules.builtin": "kernel/drivers/net/virtio_net.ko\n",
	})
	loaded, err := kmod.LoadedModules(root)
	if want := []string{"igb", "nvidia", "snd_hda_intel", "virtio_net"}; err != nil || !slices.Equal(loaded, want) {
		t.Fatalf("%v, %v", loaded, err)
	}
	if got, err := kmod.Lacking(filepath.Join(root, "lib/modules/7.2"), loaded); err != nil || !slices.Equal(got, []string{"nvidia"}) {
		t.Errorf("it lacks %v, %v", got, err)
	}
	if got, err := kmod.LoadedModules(t.TempDir()); err != nil || len(got) > 0 {
		t.Errorf("without modules: %v, %v", got, err)
	}
}
