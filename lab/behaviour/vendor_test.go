// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// eduDropIn describes the lab's vendor driver.
const eduDropIn = `description = "The lab's driver"
licence = "GPL-2.0"
companions = ["edu-factorial"]
[devices]
match = ["1234:11e8"]
[kmod]
packages = ["kmod-edu*"]
modules = ["edu"]
[proof]
node = "/dev/edu"
command = ["/usr/bin/edu-factorial", "5"]
`

// vendorRepository has a vendor's packages: the modules, and what uses them.
type vendorRepository struct {
	key   *rpmrepo.Key
	kmods []rpmrepo.Package
}

// withVendor starts a guest, and plugs in an edu device, whose vendor has repositories on the
// server of the guest's own. The guest knows the vendor's key and drop-in.
func withVendor(t *testing.T, image *lab.Image, key *rpmrepo.Key, repositories map[string]vendorRepository, start func(*testing.T, lab.Options) guest) (guest, hwdetect.Slot) {
	t.Helper()
	dir := variant(t, image.Repo, func(string) {})
	for name, repository := range repositories {
		below := filepath.Join(dir, "vendor", name)
		if err := os.MkdirAll(below, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := rpmrepo.Build(t.Context(), below, repository.key, append(repository.kmods, lab.EduFactorial())); err != nil {
			t.Fatal(err)
		}
	}
	g := start(t, lab.Options{Image: image, Repo: rpmrepo.NewRepository(dir)})
	g.sh("mkdir -p /etc/pki/rpm-gpg; cat >/etc/pki/rpm-gpg/edu.asc <<'END'\n%s\nEND\nrpm --import /etc/pki/rpm-gpg/edu.asc", key.Public)
	g.sh("cat >/etc/driverd/vendor.d/edu.toml <<'END'\n%sEND", eduDropIn)
	return g, g.plug("edu", "edu")
}

// vendorGuest is a guest of a vendor with these repositories: "edu" has the module for the
// running kernel, "other" that for another one, "all" both; in "unsigned" and "stranger"
// nothing is signed, or not by the vendor.
type vendorGuest struct {
	guest
	slot           hwdetect.Slot
	running, newer string                     // the kernels
	kmods          map[string]rpmrepo.Package // by their kernels
}

func resumeWithVendor(t *testing.T) vendorGuest {
	t.Helper()
	image := buildImage(t)
	v := vendorGuest{running: image.Release, newer: "99." + image.Release, kmods: make(map[string]rpmrepo.Package)}
	for _, release := range []string{v.running, v.newer} {
		p, err := lab.EduKmod(t.Context(), release)
		if err != nil {
			t.Fatal(err)
		}
		v.kmods[release] = p
	}
	running, other := v.kmods[v.running], v.kmods[v.newer]
	unsigned := running
	unsigned.Unsigned = true
	key := newKey(t)
	v.guest, v.slot = withVendor(t, image, key, map[string]vendorRepository{
		"other": {key, []rpmrepo.Package{other}}, "edu": {key, []rpmrepo.Package{running}}, "all": {key, []rpmrepo.Package{running, other}},
		"unsigned": {key, []rpmrepo.Package{unsigned}}, "stranger": {newKey(t), []rpmrepo.Package{running}},
	}, resume)
	return v
}

// configureVendor has the guest know one of the vendor's repositories instead of any other.
func (g guest) configureVendor(name string) {
	g.Helper()
	g.configureRepository("edu", "vendor/"+name, `gpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/edu.asc\nmetadata_expire=1`)
	g.sh(rescan)
}

// computes has the edu device compute, as its vendor's drop-in says.
func (g guest) computes() {
	g.Helper()
	if got := g.sh("driverd vendor prove edu"); got != "120\nedu works." {
		g.Errorf("it proves %q", got)
	}
}

// TestVendor has a vendor's driver in a repository of its own: a module that the lab has built
// for QEMU's edu device, and a program that has the card compute.
func TestVendor(t *testing.T) {
	g := resumeWithVendor(t)
	slot, kmods, kmod, newer := g.slot, g.kmods, g.kmods[g.running], g.newer
	g.configureVendor("other")

	t.Run("it is offered", func(t *testing.T) {
		g := g.in(t)
		g.refusedAnew(slot, "blocked", "vendor-driver")
		g.sh("driverd vendor | grep '^edu  *disabled  The lab.s driver, for %s$'", slot)
		g.sh("driverd vendor | grep '^nvidia-open  *disabled'")
		g.sh("driverd explain %s | grep -x '  *driverd vendor enable edu'", slot)
	})
	t.Run("the service cannot enable it, nor have it installed", func(t *testing.T) {
		g := g.in(t)
		const as = "setpriv --reuid=driverd --clear-groups "
		for _, forbidden := range []string{
			"driverd vendor enable edu", "driverd vendor-step enable-edu", "systemctl start driverd-vendor@enable-edu.service", "touch /etc/driverd/driverd.toml.d/x.toml",
		} {
			if r, err := g.vm.Run(g.patient(), as+forbidden+" </dev/null"); err != nil || r.Code == 0 {
				t.Errorf("driverd may %q: %v", forbidden, err)
			}
		}
		kmod := kmod.NEVRA()
		g.sh(`su -s /bin/sh driverd -c 'echo "{\"install\":[\"%s\"],\"others\":[\"%s\"]}" >/run/driverd/jobs/77; systemctl start driverd-install@77.service'`, kmod, kmod)
		if said := g.sh("cat /run/driverd/install/77"); !strings.Contains(said, "transaction-refused") && !strings.Contains(said, "no-package") {
			t.Errorf("the step says %s", said)
		}
		g.sh("rm /run/driverd/jobs/77; ! rpm -qa | grep edu; ! test -e /etc/driverd/driverd.toml.d/60-vendor-edu.toml")
		g.refused(slot, "blocked", "vendor-driver")
	})
	t.Run("for another kernel alone it is unavailable", func(t *testing.T) {
		g := g.in(t)
		g.sh("driverd vendor enable edu")
		g.refusedAnew(slot, "unavailable", "no-package")
		if got := g.await(slot, "unavailable").Message; !strings.Contains(got, "is made for kernel 99.") {
			t.Errorf("it says %q", got)
		}
		g.sh("! rpm -qa | grep edu")
	})
	t.Run("for this kernel it is installed, and the card computes", func(t *testing.T) {
		g := g.in(t)
		g.configureVendor("edu")
		g.bound(slot, "edu")
		g.sh("rpm -q edu-factorial %s && modinfo -F filename edu | grep /extra/", kmod.Name)
		g.computes()
		g.sh("driverd history | grep enable-vendor")
		t.Log(g.sh("driverd history; driverd explain %s", slot))
		g.onlyRunningKernel()
	})
	t.Run("the next kernel is ready when it is there for that", func(t *testing.T) {
		g := g.in(t)
		g.sh("driverd mode observe; dnf5 -y install 'kernel-core-uname-r = %s'", strings.TrimSuffix(rpmVersion(newer), ".x86_64"))
		g.sh("driverd rescan") // and not again: it has what is known learned anew
		g.until("driverd status | tr '\\n' ' ' | tee /dev/stderr | grep 'next kernel %s: edu not built for it yet'", newer)
		g.sh("driverd mode auto")
		g.configureVendor("all")
		g.until("rpm -q %s", kmods[newer].Name)
	})
	t.Run("disabled, nothing of it is loaded at the next boot", func(t *testing.T) {
		g := g.in(t)
		g.sh("driverd vendor disable edu && test -e /sys/bus/pci/devices/%s/driver", slot) // it is taken from nobody
		if err := g.vm.Reboot(g.patient()); err != nil {
			t.Fatal(err)
		}
		g.refused(slot, "blocked", "vendor-driver")
		g.sh("! test -e /sys/module/edu && driverd history | grep disable-vendor")
	})
}

// TestVendorBySymbols has a vendor's driver as EL has it: built for another build of the kernel,
// with which it is compatible by the checksums of the symbols that it imports.
func TestVendorBySymbols(t *testing.T) {
	image := imageBy(t, lab.BuildUnsplitImage)
	kmod, other, err := lab.EduKmodBySymbols(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const missing = "kernel(misc_register) = 0x00000000"
	incompatible := kmod
	incompatible.Requires = slices.Clone(kmod.Requires)
	i := slices.IndexFunc(kmod.Requires, func(c string) bool { return strings.HasPrefix(c, "kernel(misc_register) = ") })
	incompatible.Requires[i] = missing
	key := newKey(t)
	g, slot := withVendor(t, image, key, map[string]vendorRepository{
		"incompatible": {key, []rpmrepo.Package{incompatible}}, "compatible": {key, []rpmrepo.Package{kmod}},
	}, func(t *testing.T, o lab.Options) guest { return boot(t, o, lab.Start{}) })

	t.Run("with another checksum of one symbol it is unavailable", func(t *testing.T) {
		g := g.in(t)
		g.configureVendor("incompatible")
		g.refusedAnew(slot, "blocked", "vendor-driver")
		g.sh("driverd vendor enable edu")
		g.refusedAnew(slot, "unavailable", "no-package")
		want := kmod.NEVRA() + " needs " + missing + ", which kernel " + image.Release + " does not have"
		if got := g.await(slot, "unavailable").Message; !strings.Contains(got, want) {
			t.Errorf("it says %q, want %q", got, want)
		}
		g.sh("! rpm -qa | grep edu")
	})
	t.Run("with those of this kernel it is installed, and the card computes", func(t *testing.T) {
		g := g.in(t)
		g.configureVendor("compatible")
		g.bound(slot, "edu")
		g.sh("rpm -q edu-factorial kmod-edu && modinfo -F filename edu | grep -x /lib/modules/%s/weak-updates/edu.ko", image.Release)
		g.sh("modinfo -F vermagic edu | grep '^%s '", other)
		g.computes()
		t.Log(g.sh("driverd history; driverd explain %s", slot))
		g.installed("kernel-core", image.Release)
		g.sh("! driverd status | grep 'next kernel'")
	})
}

// TestVendorThatIsNotTrusted has a vendor's packages that are not the vendor's, and a kernel
// that takes no module but those of its own build.
func TestVendorThatIsNotTrusted(t *testing.T) {
	g := resumeWithVendor(t)
	slot := g.slot
	g.sh("driverd vendor enable edu")
	for _, name := range []string{"unsigned", "stranger"} {
		t.Run(name, func(t *testing.T) {
			g := g.in(t)
			g.configureVendor("other")
			g.refusedAnew(slot, "unavailable", "no-package")
			g.configureVendor(name)
			g.refusedAnew(slot, "blocked", "untrusted-package")
			g.sh("! rpm -qa | grep edu")
		})
	}
	t.Run("module.sig_enforce=1", func(t *testing.T) {
		g := g.in(t)
		g.sh("echo 1 >/sys/module/module/parameters/sig_enforce")
		g.configureVendor("edu")
		g.refusedAnew(slot, "blocked", "key-rejected")
		g.sh("! test -e /sys/module/edu")
	})
	g.healthy()
}
