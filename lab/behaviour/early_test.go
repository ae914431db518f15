// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"bytes"
	"context"
	"debug/elf"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// TestLoadEarly has drivers loaded while their package's transaction goes on,
// under the law of modprobe.d, and compares the outcome with a regular boot's.
func TestLoadEarly(t *testing.T) {
	t.Parallel()
	const edu, testdev = "pci:v00001234d000011E8sv*sd*bc*sc*i*", "pci:v00001B36d00000005sv*sd*bc*sc*i*"
	image := buildImage(t)
	// Beside the lab's repository, one with modules that cannot be loaded: one
	// is cut in half, the other's signature is for what it was before.
	driver := module(t, image, "kernel-modules-sriov", "igbvf")
	forged := disguise(t, driver, edu)
	halved := disguise(t, driver, testdev)
	extra, key := brokenRepo(t, image.Release, map[string][]byte{
		edu: forged, testdev: halved[:len(halved)/2],
	})
	g := resume(t, lab.Options{Image: image, Repo: extraRepo{image.Repo, extra}})
	g.sh("cat >/etc/pki/rpm-gpg/extra.asc <<'EOF'\n%s\nEOF\nrpm --import /etc/pki/rpm-gpg/extra.asc", key)
	g.sh(`sed 's/lab/extra/; s,^baseurl=.*,&extra/,' /etc/yum.repos.d/lab.repo >/etc/yum.repos.d/extra.repo`)
	g.sh("systemctl restart driverd.service; systemctl stop dnf5daemon-server.service")
	g.until("grep -q kernel-modules-forged /var/lib/driverd/catalog-$(uname -r).json")

	t.Run("the same modules after a boot", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("nic", "igb")
		g.early(slot, "igb", 1)
		const list = "awk '{print $1}' /proc/modules | sort"
		before := g.sh(list)
		if err := g.vm.Reboot(g.patient()); err != nil {
			t.Fatal(err)
		}
		g.bound(slot, "igb")
		if after := g.sh(list); after != before {
			t.Errorf("loaded early:\n%s\nafter a boot:\n%s", before, after)
		}
	})

	t.Run("options, soft dependencies, and what is installed", func(t *testing.T) {
		g := g.in(t)
		g.unplug("nic")
		g.gone(hwdetect.Slot{Bus: 1})
		g.sh("modprobe -r igb; rpm -e kernel-modules-sriov")
		g.sh("printf 'options igb max_vfs=2\\nsoftdep igb pre: 8021q post: macvlan\\n' >/etc/modprobe.d/test.conf")
		nic := g.plug("nic", "igb")
		g.early(nic, "igb", 1) // since the boot
		if got := g.sh("cat /sys/bus/pci/devices/%s/sriov_numvfs", nic); got != "2" {
			t.Errorf("options igb max_vfs=2: there are %s virtual functions", got)
		}
		order := strings.Fields(g.sh("awk '{print $1}' /proc/modules")) // the newest first
		slices.Reverse(order)
		for _, m := range [][2]string{{"8021q", "igb"}, {"i2c_algo_bit", "igb"}, {"igb", "macvlan"}} {
			if first, second := slices.Index(order, m[0]), slices.Index(order, m[1]); first < 0 || second < first {
				t.Errorf("%s is not loaded before %s: %v", m[0], m[1], order)
			}
		}
		g.sh("rm /etc/modprobe.d/test.conf")
	})

	t.Run("a blacklist", func(t *testing.T) {
		g := g.in(t)
		g.sh("echo blacklist megaraid_sas >/etc/modprobe.d/test.conf")
		slot := g.plug("raid", "megasas")
		g.refused(slot, "blocked", "blacklisted")
		g.sh("! grep -q megaraid_sas /proc/modules")
		g.sh("rm /etc/modprobe.d/test.conf")
	})

	t.Run("modules that are cut short or forged", func(t *testing.T) {
		g := g.in(t)
		g.sh("echo 1 >/sys/module/module/parameters/sig_enforce")
		forged, halved := g.plug("forged", "edu"), g.plug("halved", "pci-testdev")
		g.refused(forged, "blocked", "key-rejected")
		g.refused(halved, "failed", "transaction-failed") // depmod cannot read it
		g.healthy()
	})
}

// early waits until driver has taken the device, and sees that it was before
// depmod wrote its index. It returns when as many transactions have ended.
func (g guest) early(slot hwdetect.Slot, driver string, transactions int) {
	g.Helper()
	s := g.bound(slot, driver)
	i := slices.IndexFunc(s.Timeline, func(step lab.Step) bool { return step.Name == "bound" })
	g.until("[ $(journalctl -b -u driverd.service -o cat DRIVERD_EVENT=job-done | wc -l) -eq %d ]", transactions)
	indexed, err := strconv.ParseFloat(g.sh("stat -c %%.6Y /lib/modules/$(uname -r)/modules.dep"), 64)
	if err != nil {
		g.Fatal(err)
	}
	if bound := s.Timeline[i].Time; !bound.Before(time.UnixMicro(int64(indexed * 1e6))) {
		g.Errorf("%s was bound %v, after depmod: %v", slot, bound, s.Timeline)
	}
}

// extraRepo serves a second repository below /extra/.
type extraRepo struct{ lab, extra string }

func (r extraRepo) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(r.lab)))
	mux.Handle("/extra/", http.StripPrefix("/extra/", http.FileServer(http.Dir(r.extra))))
	mux.ServeHTTP(w, request)
}

// module returns a module of one of the image's packages, not compressed.
func module(t *testing.T, image *lab.Image, pkg, name string) []byte {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(image.Repo, pkg+"-"+image.Release+".x86_64.rpm")
	unpack := exec.CommandContext(t.Context(), "sh", "-ec", `rpm2cpio "$1" | cpio -idm --quiet; xz -dc $(find . -name "$2.ko.xz")`, "sh", file, name)
	unpack.Dir = dir
	plain, err := unpack.Output()
	if err != nil || len(plain) == 0 {
		t.Fatalf("cannot unpack %s of %s: %v", name, file, err)
	}
	return plain
}

// disguise returns the module with its first PCI alias replaced, which all have
// the same length.
func disguise(t *testing.T, plain []byte, alias string) []byte {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	section := f.Section(".modinfo")
	plain = bytes.Clone(plain)
	info := plain[section.Offset : section.Offset+section.Size]
	at := bytes.Index(info, []byte("alias=pci:v"))
	if at < 0 {
		t.Fatal("the module has no PCI alias")
	}
	copy(info[at+len("alias="):], alias)
	return plain
}

// brokenRepo makes a repository of one package for each module, by its alias,
// and returns its folder and the key that signed it.
func brokenRepo(t *testing.T, release string, modules map[string][]byte) (dir string, key []byte) {
	t.Helper()
	k := newKey(t)
	var packages []rpmrepo.Package
	for alias, text := range modules {
		name := map[bool]string{true: "forged", false: "halved"}[strings.HasPrefix(alias, "pci:v00001234")]
		version, rel, _ := strings.Cut(release, "-")
		packages = append(packages, rpmrepo.Package{
			Name: "kernel-modules-" + name, Version: version, Release: rel,
			Provides: []string{
				"kernel-modules-" + name + "-uname-r = " + release, "installonlypkg(kernel-module)",
				"kmod(" + name + ".ko)", "modalias(" + alias + ")",
			},
			Files: map[string][]byte{"/lib/modules/" + release + "/kernel/drivers/" + name + ".ko": text},
			Post:  `os.execute("/sbin/depmod -a ` + release + `")`,
		})
	}
	dir = t.TempDir()
	if err := rpmrepo.Build(context.WithoutCancel(t.Context()), dir, k, packages); err != nil {
		t.Fatal(err)
	}
	return dir, k.Public
}
