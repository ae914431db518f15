// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// Firmware that is asked for, by whom and when.
const (
	gpuFile = "radeon/R100_cp.bin"   // named by a driver, in a package that is known
	nicFile = "e100/d102e_ucode.bin" // asked for when the interface goes up
	daqFile = "me2600_firmware.bin"  // asked for before the driver takes the device
)

// TestFirmware has three drivers ask for firmware that the guest lacks.
func TestFirmware(t *testing.T) {
	t.Parallel()
	image := buildImage(t)
	repos, key := firmwareRepos(t, image)
	g := boot(t, lab.Options{Image: image, Repo: repos}, lab.Start{
		Devices: []lab.Device{{ID: "gpu", Driver: "ati-vga", Props: map[string]any{"model": "rv100"}}},
		// radeon divides by what this display has nothing of when a console comes up on it.
		Words: []string{"drm_kms_helper.fbdev_emulation=0"},
		Files: map[string]string{
			"etc/yum.repos.d/lab.repo":  repoFile("lab", "lab") + repoFile("drivers", "extra") + repoFile("firmware", "extra"),
			"etc/pki/rpm-gpg/extra.asc": key,
			"etc/driverd/driverd.toml":  `mode = "observe"`, // until the key is known
		},
	})
	g.sh("rpm --import /etc/pki/rpm-gpg/extra.asc; rm /etc/driverd/driverd.toml; systemctl reload driverd.service")

	t.Run("a file of a known package comes along", func(t *testing.T) {
		g := g.in(t)
		gpu := g.slot("gpu")
		g.bound(gpu, "radeon")
		g.idle()
		g.sh("dmesg | grep 'Loading R100 Microcode'")
		if got := g.sh("rpm -q --qf '%%{INSTALLTID}\n' amd-gpu-firmware kernel-modules-gpu | uniq | wc -l"); got != "1" {
			t.Errorf("they came in %s transactions", got)
		}
		if got := g.failed(gpuFile); got != 0 {
			t.Errorf("the kernel has looked for it %d times in vain", got)
		}
	})

	t.Run("a file that a driver wants at probe, and no repository has", func(t *testing.T) {
		g := g.in(t)
		g.sh("sed -i '/firmware/,$ s/enabled=1/enabled=0/' /etc/yum.repos.d/lab.repo")
		slot := g.plugDevice(daqCard)
		g.says(slot, "failed", "firmware-missing", "/lib/firmware/"+daqFile)
		g.sh("sed -i '/firmware/,$ s/enabled=0/enabled=1/' /etc/yum.repos.d/lab.repo") // which is all that it takes
		g.bound(slot, "me_daq")
		g.idle()
	})

	t.Run("the same, and a repository has it", func(t *testing.T) {
		g := g.in(t)
		slot := g.slot(daqCard.ID)
		g.unplug(daqCard.ID)
		g.gone(slot)
		g.sh("rmmod me_daq; rpm -e lab-daq kernel-modules-daq")
		before := g.failed(daqFile)
		g.plugDevice(daqCard)
		g.bound(slot, "me_daq")
		g.idle()
		if got := g.failed(daqFile) - before; got != 1 {
			t.Errorf("the kernel has looked for it %d times in vain", got)
		}
	})

	t.Run("a file that a driver wants when its interface goes up", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("nic", "i82551")
		g.bound(slot, "e100")
		g.idle()
		const up = "ip link set $(ls /sys/bus/pci/devices/%s/net) up"
		g.sh("! "+up, slot)
		if got := g.failed(nicFile); got != 1 {
			t.Errorf("the kernel has looked for it %d times in vain", got)
		}
		g.sh("driverd install 'firmware(%s)'", nicFile)
		g.sh(up, slot)
		if got := g.failed(nicFile); got != 1 {
			t.Errorf("the kernel has looked for it %d times in vain", got)
		}
		g.healthy()
	})
}

// failed is how often the kernel has looked for a file of firmware in vain.
func (g guest) failed(file string) int {
	g.Helper()
	return g.lines("dmesg | grep 'firmware load for %s failed with error -2' || true", file)
}

// daqCard has what the driver of a data acquisition card needs of it: two windows
// of memory. The driver writes its firmware into one, and asks the other whether
// that went wrong, which this card never says.
var daqCard = lab.Device{ID: "daq", Driver: "pci-testdev", Props: map[string]any{"membar": 65536}}

// repoFile configures a repository that firmwareRepos serves, signed with a key.
func repoFile(name, key string) string {
	return "[" + name + "]\nname=" + name + "\nbaseurl=" + lab.RepoURL + name + "/\nenabled=1\n" +
		"gpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/" + key + ".asc\n"
}

// firmwareRepos are the lab's repository without the hardware that nobody has, one
// of a driver for daqCard, and one of firmware; and the key of the latter two.
func firmwareRepos(t *testing.T, image *lab.Image) (handler http.Handler, public string) {
	t.Helper()
	key := newKey(t)
	mux := http.NewServeMux()
	serve := func(name, dir string) {
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name+"/", http.FileServer(http.Dir(dir))))
	}

	// radeonfb claims the display too, and is in the largest package.
	lean := variant(t, image.Repo, func(dir string) { removed(t, dir, "kernel-modules-"+image.Release+"*") })
	serve("lab", lean)

	const hardware = "kernel-modules"
	dir := "/lib/modules/" + image.Release + "/kernel/drivers/daq/"
	version, release, _ := strings.Cut(image.Release, "-")
	drivers := t.TempDir()
	if err := rpmrepo.Build(t.Context(), drivers, key, []rpmrepo.Package{{
		Name: "kernel-modules-daq", Version: version, Release: release,
		Provides: []string{
			"kernel-modules-daq-uname-r = " + image.Release, "installonlypkg(kernel-module)",
			"kmod(me_daq.ko)", "modalias(" + daqAlias + ")",
		},
		Files: map[string][]byte{
			dir + "comedi.ko":     module(t, image, hardware, "comedi"),
			dir + "comedi_pci.ko": module(t, image, hardware, "comedi_pci"),
			dir + "me_daq.ko":     forDaqCard(t, module(t, image, hardware, "me_daq")),
		},
		Post: `os.execute("/sbin/depmod -a ` + image.Release + `")`,
	}}); err != nil {
		t.Fatal(err)
	}
	serve("drivers", drivers)

	firmware := t.TempDir()
	var all []rpmrepo.Package
	for name, file := range map[string]struct {
		name string
		text []byte
	}{
		"amd-gpu-firmware": {gpuFile, make([]byte, 256*8)},
		"lab-e100":         {nicFile, make([]byte, 134*4+3)}, // the size that its driver wants
		"lab-daq":          {daqFile, make([]byte, 32)},      // which says of itself that it is empty
	} {
		all = append(all, rpmrepo.Package{
			Name: name, Version: "1", Release: "1",
			Files: map[string][]byte{"/usr/lib/firmware/" + file.name: file.text},
		})
	}
	if err := rpmrepo.Build(t.Context(), firmware, key, all); err != nil {
		t.Fatal(err)
	}
	serve("firmware", firmware)
	return mux, string(key.Public)
}

// daqAlias is of daqCard.
const daqAlias = "pci:v00001B36d00000005sv*sd*bc*sc*i*"

// forDaqCard makes of the driver of Meilhaus's ME-2600 one of daqCard: QEMU has
// no card whose driver wants firmware before it takes it. The ids in its table are
// others, and so are those in its alias; and it is not signed any more.
func forDaqCard(t *testing.T, driver []byte) []byte {
	t.Helper()
	driver = driver[:len(driver)-28] // the mark that a signature is there
	for _, change := range [][2]string{
		{"\x02\x14\x00\x00\x00\x26\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff", "\x36\x1b\x00\x00\x05\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"},
		{"pci:v00001402d00002600sv*sd*bc*sc*i*", daqAlias},
	} {
		if bytes.Count(driver, []byte(change[0])) != 1 {
			t.Fatalf("the driver has not one %q", change[0])
		}
		driver = bytes.ReplaceAll(driver, []byte(change[0]), []byte(change[1]))
	}
	return driver
}
