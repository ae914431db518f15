// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/internal/guest"
	"driverd/internal/testtree"
	"driverd/plan"
)

const (
	iavfModalias = "pci:v00008086d00001889sv00008086sd00000000bc02sc00i00"
	iavfCatalog  = `{"version": 1, "release": "7.2.12-200.fc44", "learned": "2026-01-01T00:00:00Z", "packages": [{
		"NEVRA": "kernel-modules-sriov-7.2.12-200.fc44.x86_64", "RepoID": "lab",
		"Provides": ["kernel-modules-sriov-uname-r = 7.2.12-200.fc44", "kmod(iavf.ko)", "modalias(pci:v00008086d00001889sv*sd*bc*sc*i*)"]}]}`
	iavfIndex = "# driverd modules.catalog\nmodule iavf\ngroup sriov\nalias pci:v00008086d00001889sv*sd*bc*sc*i*\n\n"
)

// What a guest forbids is known before anything is fetched.
func TestExplainWhatIsForbidden(t *testing.T) {
	t.Parallel()
	const vf, pf = "sys/bus/pci/devices/0000:3b:01.0", "sys/bus/pci/devices/0000:3b:00.0"
	for name, test := range map[string]struct {
		files  map[string]string
		links  map[string]string
		action string
		says   string
	}{
		"nothing":           {nil, nil, "install", ""},
		"modprobe.d":        {map[string]string{"etc/modprobe.d/dpdk.conf": "# DPDK\nblacklist iavf\n"}, nil, "none", "/etc/modprobe.d/dpdk.conf:2"},
		"command line":      {map[string]string{"proc/cmdline": "quiet modprobe.blacklist=iavf"}, nil, "none", "kernel command line"},
		"a masked file":     {map[string]string{"usr/lib/modprobe.d/iavf.conf": "blacklist iavf\n"}, map[string]string{"etc/modprobe.d/iavf.conf": "/dev/null"}, "install", ""},
		"physical function": {map[string]string{pf + "/sriov_drivers_autoprobe": "0\n", pf + "/modalias": iavfModalias + "\n"}, map[string]string{vf + "/physfn": "../0000:3b:00.0"}, "none", "sriov_drivers_autoprobe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			testtree.Write(t, filepath.Join(root, vf, "modalias"), iavfModalias+"\n")
			testtree.Write(t, filepath.Join(root, "lib/modules/7.2.12-200.fc44/modules.catalog"), iavfIndex)
			testtree.Write(t, filepath.Join(root, guest.StateDir, "catalog-7.2.12-200.fc44.json"), iavfCatalog)
			for file, text := range test.files {
				testtree.Write(t, filepath.Join(root, file), text)
			}
			for link, target := range test.links {
				testtree.Write(t, filepath.Join(root, filepath.Dir(link), ".folder"), "")
				if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
					t.Fatal(err)
				}
			}
			subject, err := plan.ParseSubject("0000:3b:01.0")
			if err != nil {
				t.Fatal(err)
			}
			x, err := guest.Explain("0000:3b:01.0", subject, root)
			if err != nil || x.Action != test.action || !strings.Contains(x.Message, test.says) {
				t.Errorf("%s, %q, %v", x.Action, x.Message, err)
			}
		})
	}
}
