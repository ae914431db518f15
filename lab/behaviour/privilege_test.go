// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"driverd/lab"
	"driverd/lab/rpmrepo"
)

// privilegeScript tries everything that changes something; see there.
//
//go:embed privilege.py
var privilegeScript string

// fewUnits are those of which driverd's polkit rule could speak, or that it needs, and another.
const fewUnits = "driverd.service dnf5daemon-server.service polkit.service dbus.service multi-user.target"

// attacked is a guest whose service is stopped, with all that its user could have done.
type attacked struct {
	guest
	driver, kernel string // packages
	before         string
}

// attack returns a guest to be attacked.
func attack(t *testing.T) attacked {
	t.Helper()
	image := buildImage(t)
	repo := variant(t, image.Repo, func(dir string) {
		older := rpmrepo.Package{Name: "driverd", Version: "0.0.1", Release: "1", Unsigned: true}
		if err := rpmrepo.Build(t.Context(), dir, nil, []rpmrepo.Package{older}); err != nil {
			t.Fatal(err)
		}
	})
	g := attacked{guest: resume(t, lab.Options{Image: image, Repo: rpmrepo.NewRepository(repo)})}
	g.sh("rm -rf /var/cache/dnf5daemon-server /var/cache/libdnf5") // it knows the repository as it was
	g.driver = "kernel-modules-gpu-" + g.sh("rpm -q --qf '%%{version}-%%{release}.%%{arch}' kernel-core")
	g.kernel = g.sh("rpm -q kernel-core")
	g.sh("systemctl stop driverd.service; rm -rf /run/owned; echo %s | base64 -d >/run/privilege.py", base64.StdEncoding.EncodeToString([]byte(privilegeScript)))
	g.before = g.state()
	return g
}

// state is what nobody of them may change.
func (g attacked) state() string {
	g.Helper()
	return g.sh("rpm -qa | sort; cat /etc/yum.repos.d/*; rpm -qa 'gpg-pubkey*'; ls -d /run/owned /usr/lib/sysimage/libdnf5/offline 2>/dev/null; systemctl get-default; true")
}

// unchanged sees that nothing of it was changed.
func (g attacked) unchanged() {
	g.Helper()
	if after := g.state(); after != g.before {
		g.Errorf("before:\n%s\nafter:\n%s", g.before, after)
	}
}

// triesTime is how long a user may try everything on every unit, in an emulated guest beside others.
const triesTime = 40 * time.Minute

// tries has a user try everything that dnf5daemon and systemd can change, on units, and sees
// that all of it is denied, but for the two templates, to driverd.
func (g attacked) tries(user, units string) {
	g.Helper()
	g.sh(`rm -f /run/tried.done; echo %s | tr ' ' '\n' | grep -v 'driverd-\(load\|install\)@' >/run/units
		nohup sh -c 'su -s /bin/sh %s -c "exec python3 /run/privilege.py %s %s kernel-modules-passthrough" </run/units >/run/tried 2>&1; touch /run/tried.done' >/dev/null 2>&1 </dev/null &`,
		units, user, g.driver, g.kernel)
	ctx, cancel := context.WithTimeout(g.Context(), triesTime)
	defer cancel()
	if _, err := g.vm.Until(ctx, "test -e /run/tried.done"); err != nil {
		g.Fatal(err)
	}
	said := g.sh("cat /run/tried")
	answers := make(map[string]map[string]int) // how often each of a kind
	for line := range strings.Lines(said) {
		what, answer, _ := strings.Cut(strings.TrimSpace(line), "\t")
		may, isOwn := strings.CutPrefix(what, "may: ")
		denied := strings.Contains(answer, "uthoriz") || strings.Contains(answer, "AccessDenied") || strings.Contains(answer, "uthentication")
		switch {
		case strings.HasPrefix(what, "untried: "):
			g.Errorf("dnf5daemon has a method that nobody knows here: %s", what)
		case isOwn && user == "driverd" && answer != "DONE":
			g.Errorf("%s may not %s: %s", user, may, answer)
		case (!isOwn || user != "driverd") && !denied && !impossible(answer):
			g.Errorf("%s: %s: %s", user, what, answer)
		}
		kind, name := what, ""
		if words := strings.Fields(what); len(words) == 3 && words[0] == "systemd:" {
			kind, name = words[0]+" "+words[1]+" any unit", words[2]
		}
		if answers[kind] == nil {
			answers[kind] = make(map[string]int)
		}
		if name != "" {
			answer = strings.ReplaceAll(answer, name, "UNIT")
		}
		answers[kind][answer]++
	}
	for _, kind := range slices.Sorted(maps.Keys(answers)) {
		for _, answer := range slices.Sorted(maps.Keys(answers[kind])) {
			_, _ = fmt.Printf("table: %-8s %-55s %3d x %.100s\n", user, kind, answers[kind][answer], answer)
		}
	}
	if len(answers) < 80 || !strings.Contains(said, "\nmay: start driverd-install@") {
		g.Errorf("only %d kinds were tried:\n%s", len(answers), said)
	}
	g.unchanged()
}

// TestEveryUnit has the user of the service try every verb on every unit of the guest.
func TestEveryUnit(t *testing.T) {
	t.Parallel()
	g := attack(t)
	g.tries("driverd", "$(systemctl list-units --all --no-legend --plain | cut -d' ' -f1)")
}

// TestPrivilege tries, as the user of the service and as nobody, everything that
// dnf5daemon and systemd can change: all of it is denied, but to start the two
// templates; and those believe no request.
func TestPrivilege(t *testing.T) {
	t.Parallel()
	g := attack(t)
	for _, user := range []string{"driverd", "nobody"} {
		t.Run(user, func(t *testing.T) {
			g := g
			g.guest = g.in(t)
			g.tries(user, fewUnits)
		})
	}

	t.Run("hostile requests", func(t *testing.T) {
		attacked, kernel := g, g.kernel
		attacked.guest = g.in(t)
		g := attacked.guest
		const jobs = "/run/driverd/jobs"
		g.sh("test $(stat -c %%U:%%a /run/driverd) = root:755 && test $(stat -c %%U %s) = driverd", jobs)
		evr := strings.TrimPrefix(kernel, "kernel-core-")
		for n, request := range []struct{ make, says string }{
			{`true`, "it is not there"},
			{`ln -s /etc/shadow N`, "it is a link"},
			{`mkfifo N`, "not a regular file"},
			{`mkdir N`, "not a regular file"},
			{`head -c 10M /dev/zero | tr '\0' ' ' >N`, "larger than"},
			{`echo '{"install":["../../../../tmp/evil-1-1.x86_64"]}' >N`, "is not the name"},
			{`echo '{"install":["/tmp/evil.rpm"]}' >N`, "is not the name"},
			{`echo '{"install":["bash-5.2-1.x86_64"]}' >N`, "bash"},
			{`echo '{"install":["kernel-modules-sriov-99.` + evr + `"]}' >N`, "transaction-refused"},
			{`echo '{"install":["kernel-core-99.` + evr + `"]}' >N`, "transaction-refused"},
			{`echo '{"install":["` + kernel + `"],"reinstall":true,"others":["lab-firmware-1-1.x86_64"]}' >N; chmod 0 N`, "permission denied"},
			{`echo '{"stop":"org.freedesktop.systemd1"}' >N`, "not a unique name"},
		} {
			job := 100 + n
			g.sh(`su -s /bin/sh driverd -c "cd %s; rm -rf %[2]d; %[3]s; busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartUnit ss driverd-install@%[2]d.service replace"`,
				jobs, job, strings.ReplaceAll(strings.ReplaceAll(request.make, `"`, `\"`), "N", fmt.Sprint(job)))
			g.until("test -e /run/driverd/install/%d && ! systemctl is-active driverd-install@%[1]d.service", job)
			said := g.sh("cat /run/driverd/install/%d", job)
			_, _ = fmt.Printf("table: %-90.90s %.160s\n", request.make, said)
			if !strings.Contains(said, request.says) {
				t.Errorf("%s: %s, want %q", request.make, said, request.says)
			}
			g.sh("rm -rf %s/%d", jobs, job)
		}
		attacked.unchanged()
	})

	t.Run("the load step obeys rules", func(t *testing.T) {
		g := g.in(t)
		slot := g.plug("net", "vmxnet3") // whose driver is there: udev loads it
		driver := "/sys/bus/pci/devices/" + slot.String() + "/driver"
		const rule = "/etc/driverd/driverd.toml.d/50-test.toml"
		g.until("test -e %s", driver)
		g.sh(`modprobe -r vmxnet3; printf '[[rule]]\naction = "deny"\nid = ["15ad:07b0"]\n' >%s`, rule)
		load := "systemctl start driverd-load@" + slot.String() + ".service"
		g.sh("%s; ! test -e %s && grep '\"policy\"' /run/driverd/load/%s", load, driver, slot)
		g.sh("rm %s; %s; test -e %s", rule, load, driver)
		g.unplug("net")
	})

	t.Run("exposure", func(t *testing.T) {
		g := g.in(t)
		for unit, threshold := range map[string]int{"driverd.service": 9, "driverd-install@1.service": 25, "driverd-vendor@enable-nvidia-open.service": 25, "driverd-load@0000:01:00.0.service": 25} {
			_, _ = fmt.Printf("table: %s\n", g.sh("systemd-analyze security --no-pager %s | tail -1", unit))
			g.sh("systemd-analyze security --threshold=%d --no-pager %s >/dev/null", threshold, unit)
		}
		g.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/driverd*.service /usr/lib/systemd/system/system-driverd.slice")
	})
}

// impossible says whether what was tried cannot be done by anybody.
func impossible(answer string) bool {
	for _, word := range []string{"NoSuchUnit", "not loaded", "not found", "InvalidArgs", "Invalid", "UnknownMethod", "OnlyByDependency", "NoSuchFile", "NoIsolation", "UnitMasked", "NotSupported", "NoSuchJob", "UnitExists", "NOTHING"} {
		if strings.Contains(answer, word) {
			return true
		}
	}
	return false
}
