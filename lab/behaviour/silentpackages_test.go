// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// TestPackagesThatSayLittle has a kernel without an index of its build, whose packages say
// which modules they hold and not which devices these drive, and then not even that:
// driverd's own index, and the lists of files, tell.
func TestPackagesThatSayLittle(t *testing.T) {
	t.Parallel()
	image := buildImage(t)
	repo := rpmrepo.NewRepository(image.Repo)
	g := resume(t, lab.Options{Image: image, Repo: repo})
	edu := g.plug("edu", "edu")
	g.refused(edu, "unsupported", "no-driver")
	for _, variety := range []struct {
		name string
		says []string // what is left out of the Provides
	}{
		{"kmod alone", []string{"modalias("}},
		{"neither", []string{"modalias(", "kmod("}},
	} {
		t.Run(variety.name, func(t *testing.T) {
			g := g.in(t)
			repo.Become(withoutProvides(t, variant(t, image.Repo, func(string) {}), variety.says...))
			g.sh(`systemctl stop driverd.service dnf5daemon-server.service
rm -rf /var/cache/dnf5daemon-server/* /var/cache/libdnf5/* /var/lib/driverd/catalog-* /lib/modules/$(uname -r)/modules.catalog
systemctl start driverd.service`)
			g.refused(edu, "unsupported", "no-driver")
			nic, disk := g.plug("nic", "igb"), g.plugDevice(lab.NVMe("disk"))
			esx := g.plug("esx", "vmxnet3")
			g.bound(nic, "igb")
			g.bound(disk, "nvme")
			g.bound(esx, "vmxnet3")
			g.idle()
			if got := g.sh(`rpm -qa --qf '%%{NAME}\n' kernel-modules-sriov kernel-modules-gpu kernel-modules-passthrough kernel-modules`); got != "kernel-modules-sriov" {
				t.Errorf("installed: %q", got)
			}
			for _, id := range []string{"nic", "disk", "esx"} {
				g.unplug(id)
			}
			g.gone(nic)
			g.sh("modprobe -r igb; rpm -e --nodeps kernel-modules-sriov")
		})
	}
}

// withoutProvides takes the Provides that begin so out of the metadata of the repository
// in dir: what it has is as it was, and says less of itself.
func withoutProvides(t *testing.T, dir string, says ...string) string {
	t.Helper()
	data := filepath.Join(dir, "repodata")
	found, err := filepath.Glob(filepath.Join(data, "*primary.xml.gz"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the metadata is %v, %v", found, err)
	}
	file, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	packed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(packed)
	if err != nil {
		t.Fatal(err)
	}
	var rest strings.Builder
	for line := range strings.Lines(string(text)) {
		said := false
		for _, begin := range says {
			said = said || strings.Contains(line, `<rpm:entry name="`+begin)
		}
		if !said {
			rest.WriteString(line)
		}
	}
	if rest.Len() == len(text) {
		t.Fatal("no package says any of it")
	}
	primary := filepath.Join(t.TempDir(), "primary.xml")
	if err := os.WriteFile(primary, []byte(rest.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, "modifyrepo_c", "--remove", "primary", data)
	command(t, "modifyrepo_c", "--mdtype=primary", primary, data)
	return dir
}
