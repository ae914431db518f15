// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/internal/image"
)

// What makes no sense for an image is said before anything is asked of DNF.
func TestMisused(t *testing.T) {
	t.Parallel()
	const kernel = "usr/lib/modules/7.2.12/modules.alias"
	for name, test := range map[string]struct {
		files map[string]string
		image image.Image
		want  string
	}{
		"no tree":           {nil, image.Image{}, "is not the root of a guest"},
		"another kernel":    {map[string]string{kernel: ""}, image.Image{Release: "7.2.13"}, "there is no kernel 7.2.13"},
		"two kernels":       {map[string]string{kernel: "", "usr/lib/modules/7.2.13/modules.alias": ""}, image.Image{}, "holds 2 kernels: say which with --for"},
		"nothing asked for": {map[string]string{kernel: ""}, image.Image{}, "nothing is asked for"},
		"no such group":     {map[string]string{kernel: ""}, image.Image{Selectors: []string{"nic"}}, `cannot understand "nic"`},
		"a mistake in a file": {
			map[string]string{kernel: "", "etc/driverd/preinstall.d/50.toml": "isntall = ['gpu']\n"}, image.Image{Selectors: []string{"gpu"}}, `unknown key "isntall"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := test.image
			i.Root = t.TempDir()
			for file, text := range test.files {
				path := filepath.Join(i.Root, file)
				err := os.MkdirAll(filepath.Dir(path), 0o755)
				if err == nil {
					err = os.WriteFile(path, []byte(text), 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			i.Say = func(format string, _ ...any) error {
				t.Errorf("it says %q", format)
				return nil
			}
			if got, err := i.Install(t.Context()); got != image.Misused || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the result is %d: %v, want %d: %s", got, err, image.Misused, test.want)
			}
		})
	}
}
