// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/lab"
)

// repositories are where the image's maker has driverd-cloud-init and firmware
// from, beside the kernel's. dnf is as docs/images.md calls it; nobody is asked.
const repositories = `
createrepo_c --quiet /root/ours
cat >/etc/yum.repos.d/image.repo <<END
[ours]
name=ours
baseurl=file:///root/ours
gpgcheck=0
[firmware]
name=firmware
baseurl=file:///root/firmware
gpgcheck=1
gpgkey=file:///root/firmware/key.asc
END
dnf() { dnf5 -y "$@"; }
`

// golden is what is done when the image is made, where another kernel runs than
// the image's, after the commands of docs/images.md: these install the storage
// drivers into it, and lay those of network cards up in it. Firmware comes as the
// image's own files ask for it. What cannot be done fails, and says why.
const golden = `
kernel=$(basename /usr/lib/modules/*)
fails() { if "$@"; then exit 1; fi; }
driverd image install --for "$kernel" --root /mnt passthrough | grep 'is installed for kernel'
driverd preinstall --group passthrough | grep 'is installed for kernel'
rpm -q kernel-modules-passthrough
fails rpm -q kernel-modules-sriov
fails driverd image install --root /etc sriov >/root/no-root
fails driverd image install --for 1.2.3 sriov >/root/no-kernel
fails driverd preinstall --root /mnt --group nic >/root/no-group

for unit in driverd driverd-preinstall; do systemctl is-enabled $unit; done
echo 'install = ["firmware(lab/none.bin)", "firmware(lab/card.bin)"]' >/etc/driverd/preinstall.d/50-image.toml
fails driverd preinstall --root /mnt >/root/no-key
fails test -e /lib/firmware/lab/card.bin.xz
rpm --import /root/firmware/key.asc
fails driverd preinstall --root /mnt >/root/no-firmware
test -e /lib/firmware/lab/card.bin.xz
sed -i 's/"firmware(lab.none.bin)", //' /etc/driverd/preinstall.d/50-image.toml
driverd image install --root /mnt | grep 'all that is asked for is installed'

cat >/etc/driverd/vendor.d/edu.toml <<END
` + eduDropIn + `END
fails driverd image install --root /mnt 1234:11e8 >/root/not-enabled
driverd vendor enable edu --root /mnt
driverd image install --root /mnt 1234:11e8 | grep kmod-edu
rpm -q edu-factorial
fails driverd image install --root /mnt 10de:2330 >/root/no-driver
rm /etc/driverd/preinstall.d/50-image.toml /etc/yum.repos.d/image.repo
`

// documented returns the examples of one kind in a page of docs.
func documented(t *testing.T, page, kind string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+kind+"\n(.*?)^```$").FindAllSubmatch(text, -1) {
		found = append(found, string(m[1]))
	}
	if len(found) == 0 {
		t.Fatalf("docs/%s has no example in %s", page, kind)
	}
	return found
}

// TestGoldenImage boots an image that was prepared when it was made, in a guest
// without a network: the driver of its only card lies in the image.
func TestGoldenImage(t *testing.T) {
	t.Parallel()
	ours := t.TempDir()
	text, err := os.ReadFile(hook(t))
	if err == nil {
		err = os.WriteFile(filepath.Join(ours, filepath.Base(hook(t))), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	edu, err := lab.EduKmod(t.Context(), buildImage(t).Release)
	if err != nil {
		t.Fatal(err)
	}
	script := unpacked(t, ours, "/root/ours") + unpacked(t, namedRepo(t, edu, lab.EduFactorial()), "/root/firmware") + repositories +
		strings.Join(documented(t, "images.md", "sh"), "") + golden
	image, err := lab.BuildGoldenImage(t.Context(), script, rpm(t))
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, lab.Options{Image: image}, lab.Start{NoNIC: true, Devices: []lab.Device{
		{ID: "nic", Driver: "igb", Props: map[string]any{"netdev": "net"}},
		{ID: "raid", Driver: "megasas"},
		{ID: "edu", Driver: "edu"},
	}})
	nic, raid, card := hwdetect.Slot{Bus: 1}, hwdetect.Slot{Bus: 2}, hwdetect.Slot{Bus: 3}

	t.Run("what was installed drives its device", func(t *testing.T) {
		g := g.in(t)
		g.bound(raid, "megaraid_sas")
		g.installed("kernel-modules-passthrough", image.Release)
	})

	t.Run("a vendor's driver drives its own", func(t *testing.T) {
		g := g.in(t)
		g.bound(card, "edu")
		g.computes()
	})

	t.Run("the only card comes up with what was laid up", func(t *testing.T) {
		g := g.in(t)
		g.bound(nic, "igb")
		g.installed("kernel-modules-sriov", image.Release)
		if got := g.sh("ls -d /sys/class/net/*/device | wc -l"); got != "1" {
			t.Errorf("there are %s network cards", got)
		}
		g.idle() // DNF notes at the end where a package came from
		if got := g.sh("dnf5 -q repoquery --installed --queryformat='%%{from_repo}' kernel-modules-sriov"); got != "driverd-packages" {
			t.Errorf("the package came from %q", got)
		}
	})

	t.Run("and reaches the network", func(t *testing.T) {
		g := g.in(t)
		g.sh("dev=$(basename /sys/bus/pci/devices/%s/net/*); ip address add 10.0.2.15/24 dev $dev; ip link set $dev up", nic)
		g.until("dnf5 -q makecache --refresh && dnf5 -q repoquery --repo=lab kernel-modules-gpu | grep -q kernel-modules-gpu")
		g.healthy()
	})

	t.Run("what went wrong when it was made was said", func(t *testing.T) {
		g := g.in(t)
		for file, want := range map[string]string{
			"no-root":   "/etc is not the root of a guest: ",
			"no-kernel": "there is no kernel 1.2.3 in /usr/lib/modules",
			"no-group":  `cannot understand "nic": want a slot`,

			"no-key":      "Signature verification failed",
			"no-firmware": "no package that could be installed has /lib/firmware/lab/none.bin",

			"not-enabled": "The lab's driver would drive it: driverd vendor enable edu",
			"no-driver":   "nvidia-open has no package for kernel " + image.Release,
		} {
			if got := g.sh("cat /root/%s", file); !strings.Contains(got, want) {
				t.Errorf("%s: %s", file, got)
			}
		}
	})
}
