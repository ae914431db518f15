// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/rpmrepo"
)

const (
	// What the owner of an instance asks for beside what docs/instances.md shows.
	runcmd = `runcmd:
- [sh, -c, "lsmod >/run/at-runcmd; rpm -qa 'kernel-modules*' >>/run/at-runcmd"]
`
	platformsData = `#cloud-config
write_files:
- path: /etc/driverd/preinstall.d/10-platform.toml
  content: |
    install = ["gpu"]
`
)

// booted waits for the end of a boot, step by step, and sees that it has come to
// what is behind driverd-preinstall.service.
func (g guest) booted() {
	g.Helper()
	g.until("systemctl is-active cloud-init-network.service")
	g.until("systemctl show -P ExecMainExitTimestampMonotonic driverd-preinstall.service | grep -qvx 0")
	g.sh("cloud-init status --wait >/dev/null; systemctl is-active cloud-final.service multi-user.target")
}

// cloudImage is the image of a guest with cloud-init.
func cloudImage(t *testing.T) *lab.Image {
	t.Helper()
	image, err := lab.BuildCloudImage(t.Context(), rpm(t), hook(t))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// hook is driverd-cloud-init's package, as make rpm leaves it.
func hook(t *testing.T) string {
	t.Helper()
	return built(t, "driverd-cloud-init-*.rpm")
}

// instance is a guest with cloud-init whose owner has asked, by user-data, for what it
// needs, after its first boot.
type instance struct {
	guest
	image    *lab.Image
	repo     *rpmrepo.Repository
	firmware string // folder of another repository, which is below /firmware
	nic      hwdetect.Slot
}

func newInstance(t *testing.T) instance {
	t.Helper()
	i := instance{image: cloudImage(t), firmware: namedRepo(t), nic: hwdetect.Slot{Bus: 1}}
	i.repo = rpmrepo.NewRepository(i.image.Repo)
	repos := http.NewServeMux()
	repos.Handle("/", i.repo)
	repos.Handle("/firmware/", http.StripPrefix("/firmware", http.FileServer(http.Dir(i.firmware))))
	i.guest = boot(t, lab.Options{Image: i.image, Repo: repos}, lab.Start{
		Files:   lab.NoCloud(documented(t, "instances.md", "yaml")[0]+runcmd, platformsData),
		Devices: []lab.Device{{ID: "nic", Driver: "igb"}},
	})
	i.booted()
	return i
}

// said is what driverd-preinstall.service has said since the guest's last boot.
func said(g guest) string {
	g.Helper()
	return g.sh("journalctl -b -u driverd-preinstall.service -o cat --no-pager")
}

// TestPreinstall has an instance ask, by user-data and real cloud-init, for what
// it needs.
func TestPreinstall(t *testing.T) {
	t.Parallel()
	g := newInstance(t)

	t.Run("first boot", func(t *testing.T) {
		image, nic, g := g.image, g.nic, g.in(t)
		t.Log(g.sh("cloud-init status --long; grep 'driverd preinstall' /var/log/cloud-init-output.log"))
		g.sh("systemctl is-active driverd-preinstall.service")
		g.installed("kernel-modules-sriov", image.Release)
		g.bound(nic, "igb")
		g.bound(g.plug("second", "e1000e"), "e1000e") // 8086:10d3, whose driver is there already
		g.sh("grep -q 'driverd preinstall: done: ' /var/log/cloud-init-output.log")
		if got := g.sh("cloud-init schema --system"); !strings.Contains(got, "Valid schema") || strings.Contains(got, "nvalid") {
			t.Errorf("cloud-init schema --system: %s", got)
		}
		if got := g.sh("grep -iE 'warn|error' /var/log/cloud-init.log | grep -i driverd || true"); got != "" {
			t.Errorf("cloud-init's log: %s", got)
		}
		if got := g.sh("busctl -j call org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.fedoraproject.Driverd1.Manager History 'a{sv}' 0"); !strings.Contains(got, "kernel-modules-sriov-") {
			t.Errorf("History: %s", got)
		}
	})

	t.Run("the commands of docs/instances.md", func(t *testing.T) {
		g := g.in(t)
		for _, commands := range documented(t, "instances.md", "sh") {
			g.sh("set -e\n%s", commands)
		}
	})

	t.Run("the other user-data of docs/instances.md", func(t *testing.T) {
		g := g.in(t)
		g.sh("cat >/root/user-data <<'END'\n%sEND\ncloud-init schema -c /root/user-data", documented(t, "instances.md", "yaml")[1])
		g.sh("sed -n 's/^    //p' /root/user-data >/etc/driverd/driverd.toml.d/50-owner.toml; driverd check-config; rm /etc/driverd/driverd.toml.d/50-owner.toml")
	})

	t.Run("before what needs the hardware", func(t *testing.T) {
		g := g.in(t)
		if got := g.sh("cat /run/at-runcmd"); !strings.Contains(got, "kernel-modules-sriov-") {
			t.Errorf("runcmd found %s", got)
		}
		g.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/driverd-preinstall.service")
		g.sh("! journalctl -b -o cat --no-pager | grep -i 'ordering cycle'")
	})

	t.Run("user-data's files replace those of vendor-data", func(t *testing.T) {
		g := g.in(t)
		g.sh("! test -e /etc/driverd/preinstall.d/10-platform.toml")
	})
}

// TestPreinstallLater follows such an instance through two boots more, and what its
// owner gets wrong.
func TestPreinstallLater(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	g, image, repo, firmware := i.guest, i.image, i.repo, i.firmware

	t.Run("second boot does nothing", func(t *testing.T) {
		g := g.in(t)
		before := g.subpackages()
		if err := g.vm.Reboot(g.patient()); err != nil {
			t.Fatal(err)
		}
		g.booted()
		if got := said(g); !strings.Contains(got, "what is asked for was done already") || strings.Contains(got, "done: ") {
			t.Errorf("it says %s", got)
		}
		if after := g.subpackages(); len(after) != len(before) {
			t.Errorf("installed before %v, after %v", before, after)
		}
	})

	// A new instance of the same image, whose owner cannot spell, on a platform
	// whose own wish is carried out as there is no other.
	t.Run("wrong user-data fails the unit, not the boot", func(t *testing.T) {
		g := g.in(t)
		g.sh("rm /etc/driverd/preinstall.d/*; cd /var/lib/cloud/seed/nocloud; echo 'instance-id: second' >meta-data; sed -i 's/sriov/sriof/' user-data")
		if err := g.vm.Reboot(g.patient()); err != nil {
			t.Fatal(err)
		}
		g.booted()
		g.sh("systemctl is-failed driverd-preinstall.service")
		const want = `/etc/driverd/preinstall.d/50-owner.toml:1: cannot understand "sriof"`
		if got := said(g); !strings.Contains(got, want) {
			t.Errorf("it says %s", got)
		}
		g.sh("grep -qF '%s' /var/log/cloud-init-output.log", want)

		g.sh(`printf 'install = ["sriov"\n' >/etc/driverd/preinstall.d/50-owner.toml; ! systemctl restart driverd-preinstall.service`)
		if got := said(g); !strings.Contains(got, "/etc/driverd/preinstall.d/50-owner.toml:1:") {
			t.Errorf("it says %s", got)
		}
	})

	t.Run("what nothing provides does not keep the others away", func(t *testing.T) {
		g := g.in(t)
		g.sh(`echo 'install = ["1234:5678", "sriov"]' >/etc/driverd/preinstall.d/50-owner.toml; ! systemctl restart driverd-preinstall.service`)
		if got := said(g); !strings.Contains(got, "1234:5678") || !strings.Contains(got, "done: ") {
			t.Errorf("it says %s", got)
		}
		if got := g.sh("systemctl show -P ExecMainStatus driverd-preinstall.service"); got != "3" {
			t.Errorf("it ended with %s", got)
		}
	})

	t.Run("firmware that is asked for by its name", func(t *testing.T) {
		g := g.in(t)
		key, err := os.ReadFile(filepath.Join(firmware, "key.asc"))
		if err != nil {
			t.Fatal(err)
		}
		g.sh("cat >/root/key.asc <<'END'\n%s\nEND\nrpm --import /root/key.asc", key)
		g.sh("sed 's,^.lab.,[firmware],; s,^baseurl=.*,&firmware/,' /etc/yum.repos.d/lab.repo >/etc/yum.repos.d/firmware.repo")
		g.sh(`echo 'install = ["sriov", "firmware(%s)"]' >/etc/driverd/preinstall.d/50-owner.toml; systemctl restart driverd-preinstall.service`, namedFile)
		if got := said(g); !strings.Contains(got, namedPackage+"-1-1.x86_64 installed") {
			t.Errorf("it says %s", got)
		}
		g.sh("rm /etc/yum.repos.d/firmware.repo; rpm -q %s && test -e /lib/firmware/%s.xz", namedPackage, namedFile)
	})

	t.Run("a repository that does not answer is tried again behind the boot", func(t *testing.T) {
		g := g.in(t)
		repo.Fail("", rpmrepo.Refuse)
		g.sh(`echo 'install = ["gpu"]' >/etc/driverd/preinstall.d/50-owner.toml; ! systemctl restart driverd-preinstall.service`)
		g.sh("systemctl show -P SubState driverd-preinstall.service | grep -qx auto-restart")
		if got := said(g); !strings.Contains(got, "repo-unreachable") {
			t.Errorf("it says %s", got)
		}
		repo.Fail("", rpmrepo.NoFault)
		g.until("systemctl is-active driverd-preinstall.service")
		g.installed("kernel-modules-gpu", image.Release)
	})
}
