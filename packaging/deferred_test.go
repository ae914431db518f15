// SPDX-License-Identifier: Apache-2.0

package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"driverd/internal/testtree"
)

// TestDeferredFiles tries the condition under which driverd-preinstall.service runs again
// after cloud-init's final stage: there is a file that it has not read.
func TestDeferredFiles(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../units/driverd-preinstall-deferred.service")
	if err != nil {
		t.Fatal(err)
	}
	condition := regexp.MustCompile(`(?m)^ExecCondition=/bin/sh -c '(.+)'$`).FindSubmatch(unit)
	if condition == nil {
		t.Fatal("the unit has no condition")
	}
	read := time.Now()
	before, after := read.Add(-time.Minute), read.Add(time.Minute)
	for name, test := range map[string]struct {
		wasRead     bool
		folder, old time.Time // when the folder and its file were written
		want        bool
	}{
		"the first run was skipped":   {false, before, before, true},
		"nothing is new":              {true, before, before, false},
		"a new file":                  {true, after, before, true},
		"a file that is written over": {true, before, after, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			folder, stamp := filepath.Join(root, "etc"), filepath.Join(root, "run")
			file := filepath.Join(folder, "50-owner.toml")
			testtree.Write(t, file, "install = ['sriov']")
			if test.wasRead {
				if err := os.Mkdir(stamp, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for path, when := range map[string]time.Time{file: test.old, folder: test.folder, stamp: read} {
				if err := os.Chtimes(path, when, when); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			script := strings.NewReplacer("/run/driverd-preinstall", stamp, "/etc/driverd/preinstall.d", folder).Replace(string(condition[1]))
			out, err := exec.Command("/bin/sh", "-c", script).CombinedOutput()
			if (err == nil) != test.want || len(out) > 0 {
				t.Errorf("it runs again: %v, want %v\n%s", err == nil, test.want, out)
			}
		})
	}
}
