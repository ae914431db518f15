// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"driverd/lab"
)

// anotherRelease builds a later release of driverd's package from this tree, and
// returns where it lies.
func anotherRelease(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, argv := range [][]string{
		{"../../packaging/build-rpm", "-s", dir},
		{"sh", "-c", `exec ../../packaging/rpmbuild-here --rebuild --nocheck --quiet --define "dist .2" --define "_topdir $1" --define "_rpmdir $1" "$1"/*.src.rpm`, "sh", dir},
	} {
		if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("cannot build another release: %v\n%s", err, out)
		}
	}
	return filepath.Join(dir, "x86_64")
}

// held serves files, but those of one package only when it is let go.
type held struct {
	http.Handler
	pkg   string
	once  sync.Once
	asked chan struct{} // closed when it was asked for
	free  chan struct{} // to be closed
}

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, h.pkg) {
		h.once.Do(func() { close(h.asked) })
		select {
		case <-h.free:
		case <-r.Context().Done():
			return
		}
	}
	h.Handler.ServeHTTP(w, r)
}

// life is what the guest has of the package.
type life struct {
	release, files, units, enabled, user string
}

func (g guest) life() life {
	g.Helper()
	return life{
		release: g.sh("rpm -q --qf '%%{release}' driverd"),
		files:   g.sh("rpm -V driverd && rpm -ql driverd | grep -v build-id"),
		units:   g.sh("systemctl list-unit-files --no-legend '*driverd*' | cut -d' ' -f1"),
		enabled: g.sh("systemctl is-enabled driverd.service || true"),
		user:    g.sh("getent passwd driverd"),
	}
}

// lives sees that the package is there in that release, and else as it was.
func (g guest) lives(was life, release string) {
	g.Helper()
	was.release = release
	if now := g.life(); now != was {
		g.Errorf("it is %+v, want %+v", now, was)
	}
}

// TestLifecycle takes the package through its life with dnf5.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	later, now := anotherRelease(t), filepath.Dir(rpm(t))
	image := buildImage(t)
	packages := &held{
		Handler: http.FileServer(http.Dir(image.Repo)), pkg: "kernel-modules-passthrough",
		asked: make(chan struct{}), free: make(chan struct{}),
	}
	repo := http.NewServeMux()
	repo.Handle("/", packages)
	repo.Handle("/now/", http.StripPrefix("/now", http.FileServer(http.Dir(now))))
	repo.Handle("/later/", http.StripPrefix("/later", http.FileServer(http.Dir(later))))
	g := resume(t, lab.Options{Image: image, Repo: repo})
	nic := g.plug("nic", "igb")
	g.bound(nic, "igb")
	g.idle()
	server := strings.TrimSuffix(lab.RepoURL, "/")
	first := g.life()
	if first.release != "1" || first.enabled != "enabled" {
		t.Fatalf("the image has %+v", first)
	}

	t.Run("upgrade during a job", func(t *testing.T) {
		g := g.in(t)
		began := g.sh("systemctl show -P ExecMainStartTimestampMonotonic driverd.service")
		slot := g.plug("raid", "megasas")
		select {
		case <-packages.asked:
		case <-g.patient().Done():
			t.Fatal("nobody asks for the package")
		}
		if s := g.await(slot, "installing"); s.Driver != "" {
			t.Fatalf("it is %+v", s)
		}
		t.Log(g.sh("dnf5 -y upgrade %s/later/driverd-0.1.0-1.2.x86_64.rpm", server))
		if got := g.sh("systemctl show -P ExecMainStartTimestampMonotonic driverd.service"); got == began {
			t.Error("the old service still runs")
		}
		close(packages.free)
		g.bound(slot, "megaraid_sas")
		g.idle()
		g.lives(first, "1.2")
		g.healthy()
	})

	t.Run("downgrade, of what the administrator has disabled", func(t *testing.T) {
		g := g.in(t)
		g.sh("systemctl disable driverd.service")
		disabled := first
		disabled.enabled = "disabled"
		g.lives(disabled, "1.2")
		t.Log(g.sh("dnf5 -y downgrade %s/now/%s", server, filepath.Base(rpm(t))))
		g.lives(disabled, "1")
		g.sh("systemctl enable driverd.service")
		g.lives(first, "1")
		g.healthy()
		g.bound(g.plug("second", "igb"), "igb")
	})

	t.Run("a newer kernel", func(t *testing.T) {
		g := g.in(t)
		next := "99." + image.Release
		g.sh("! driverd status | grep 'next kernel'")
		g.sh("dnf5 -y upgrade 'kernel*'")
		// This is what dnf does: of each package that is installed, the newer build.
		g.installed("kernel-core", image.Release, next)
		g.installed("kernel-modules-sriov", image.Release, next)
		g.until("driverd status | grep -Fx 'next kernel %s: ready'", next)

		// And this is left to driverd: what is needed since.
		g.sh("driverd mode observe")
		card := g.plugDevice(lab.BochsDisplay("card"))
		g.refused(card, "blocked", "observe-only")
		g.sh("driverd install %s", card)
		g.bound(card, "bochs-drm")
		g.installed("kernel-modules-gpu", image.Release)
		want := "next kernel " + next + ": lacks the driver of " + card.String() + ". To install it: driverd image install --for " + next + " gpu"
		if got := g.sh("driverd status | tr -s '\n ' ' '"); !strings.Contains(got, want) {
			t.Errorf("it says %s", got)
		}
		g.sh("driverd mode auto")
		g.until("driverd status | grep -Fx 'next kernel %s: ready'", next)
		g.installed("kernel-modules-gpu", image.Release, next)
		g.sh("driverd status --json | tr -d ' \n' | grep -F '\"next_kernel\":{\"release\":\"%s\",\"ready\":true,\"message\":\"\",\"packages\":[]}'", next)
		g.sh("driverd history | grep 'installed for the next boot'")
		g.idle()
	})

	t.Run("removal", func(t *testing.T) {
		g := g.in(t)
		loaded := g.sh("lsmod | cut -d' ' -f1 | sort")
		t.Log(g.sh("dnf5 -y remove driverd"))
		g.sh("! rpm -q driverd && ! systemctl cat driverd.service && ! busctl status org.fedoraproject.Driverd1 && ! ls -l /proc/[0-9]*/exe | grep /driverd")
		if got := g.sh("systemctl list-unit-files --no-legend '*driverd*'; systemctl list-units --all --no-legend 'driverd*'"); got != "" {
			t.Errorf("units are left: %s", got)
		}
		// The state stays for another installation, with the user whose it is.
		const stays = "/var/lib/driverd"
		if got := g.sh("find / -xdev '(' -name '*driverd*' -o -user driverd ')' -not -path '%s/*' -not -path '/var/log/*' -not -path '/var/cache/*'", stays); got != stays {
			t.Errorf("files are left:\n%s", got)
		}
		if got := g.sh("getent passwd driverd"); got != first.user {
			t.Errorf("the user is %q, was %q", got, first.user)
		}
		if got := g.sh("lsmod | cut -d' ' -f1 | sort"); got != loaded {
			t.Errorf("loaded were\n%s\nand are\n%s", loaded, got)
		}
		if got := g.sh("basename $(readlink /sys/bus/pci/devices/%s/driver)", nic); got != "igb" {
			t.Errorf("the card has driver %q now", got)
		}
	})

	t.Run("installed again, as presets say", func(t *testing.T) {
		g := g.in(t)
		install := "dnf5 -y install " + server + "/now/" + filepath.Base(rpm(t))
		g.sh("mkdir -p /etc/systemd/system-preset; echo 'disable driverd.service' >/etc/systemd/system-preset/10-owner.preset")
		g.sh("%s", install)
		if got := g.life().enabled; got != "disabled" {
			t.Errorf("against the owner's preset it is %s", got)
		}
		g.sh("set -e; dnf5 -y remove driverd; rm /etc/systemd/system-preset/10-owner.preset; %s", install)
		g.lives(first, "1")
		g.sh("systemctl start driverd.service")
		g.bound(nic, "igb")
		g.bound(g.plug("third", "e1000e"), "e1000e")
		g.sh("driverd history | grep 'installed for the next boot'") // its memory is the old one
	})
}
