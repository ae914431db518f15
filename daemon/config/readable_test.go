// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/daemon/config"
)

// What only its owner can read, the service cannot, whoever asks.
func TestReadable(t *testing.T) {
	t.Parallel()
	const dropIns = "etc/driverd/driverd.toml.d"
	for _, c := range []struct {
		name  string
		modes map[string]fs.FileMode
		user  string // in passwd(5) and group(5); UID and GID are those of the files
		bad   string // empty if all can be read
	}{
		{"everybody", nil, "", ""},
		{"the owner", map[string]fs.FileMode{dropIns + "/50-owner.toml": 0o600}, "", "50-owner.toml"},
		{"the group", map[string]fs.FileMode{dropIns + "/50-owner.toml": 0o640}, "", "50-owner.toml"},
		{"a folder that cannot be listed", map[string]fs.FileMode{dropIns: 0o711}, "", "driverd.toml.d"},
		{"a folder that cannot be entered", map[string]fs.FileMode{"etc/driverd": 0o700}, "", "driverd.toml"},
		{"the owner is the service", map[string]fs.FileMode{dropIns + "/50-owner.toml": 0o400}, "driverd:x:UID:0:::\n", ""},
		{"its group is the service's", map[string]fs.FileMode{dropIns + "/50-owner.toml": 0o640}, "driverd:x:4294967294:GID:::\n", ""},
		{"the owner may do less", map[string]fs.FileMode{dropIns + "/50-owner.toml": 0o044}, "driverd:x:UID:GID:::\n", "50-owner.toml"},
	} {
		root := t.TempDir()
		for _, name := range []string{"etc/driverd/driverd.toml", dropIns + "/50-owner.toml"} {
			path := filepath.Join(root, name)
			err := os.MkdirAll(filepath.Dir(path), 0o755)
			if err == nil {
				err = os.WriteFile(path, []byte("mode = 'observe'\n"), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		passwd := strings.NewReplacer("UID", itoa(os.Geteuid()), "GID", itoa(os.Getegid())).Replace(c.user)
		if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:::\n"+passwd), 0o644); err != nil {
			t.Fatal(err)
		}
		for name, mode := range c.modes {
			path := filepath.Join(root, name)
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(path, 0o755) })
		}
		switch err := config.Readable(root); {
		case c.bad == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.bad != "" && (!errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), c.bad+": permission denied")):
			t.Errorf("%s: %v, want %s", c.name, err, c.bad)
		}
	}
}

func itoa(n int) string { return fmt.Sprint(n) }
