// SPDX-License-Identifier: Apache-2.0

//go:build lab

// Package behaviour_test shows what driverd does, in a real guest: a real
// kernel and its modules, QEMU's hotplug, udev, systemd, polkit and DNF.
package behaviour_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
	"driverd/lab/stage"
)

// patience is for one thing that takes a while: an installation under software
// emulation, on a machine that does something else as well. A guest of another
// architecture has a multiple of it.
const patience = 10 * time.Minute

// rescan asks driverd to look again, and to retry what failed.
const rescan = `busctl call org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.fedoraproject.Driverd1.Manager Rescan 'a{sv}' 0`

func TestMain(m *testing.M) {
	stage.Progress = os.Stdout // at once, where a test's own log waits for its end
	os.Exit(m.Run())
}

// guest is a running guest with driverd in it.
type guest struct {
	*testing.T
	vm *lab.Guest
}

// rpm is driverd's package, as make rpm leaves it.
func rpm(t *testing.T) string {
	t.Helper()
	return built(t, "driverd-[0-9]*.x86_64.rpm")
}

// built is the one package that make rpm leaves with such a name.
func built(t *testing.T, pattern string) string {
	t.Helper()
	return onePackage(t, "../../dist", pattern)
}

// onePackage is the one package in dir with such a name.
func onePackage(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("cannot find the package %s in %s, run make rpm: %v %v", pattern, dir, found, err)
	}
	return found[0]
}

// buildImage builds the image with driverd in it.
func buildImage(t *testing.T) *lab.Image {
	t.Helper()
	return imageBy(t, lab.BuildImage)
}

// imageBy builds an image with driverd in it, on a machine that has all that this takes.
func imageBy(t *testing.T, build func(ctx context.Context, rpm string) (*lab.Image, error)) *lab.Image {
	t.Helper()
	if err := lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	image, err := build(t.Context(), rpm(t))
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// boot boots a guest that ends with the test. Its logs are kept if the test fails.
func boot(t *testing.T, o lab.Options, s lab.Start) guest {
	t.Helper()
	return begin(t, o, func(ctx context.Context, o lab.Options) (*lab.Guest, error) { return lab.Boot(ctx, o, s) })
}

// resume is boot for a test that is not about booting: the guest runs already, and
// its driverd is ready and knows the repository.
func resume(t *testing.T, o lab.Options) guest {
	t.Helper()
	return begin(t, o, lab.Resume)
}

func begin(t *testing.T, o lab.Options, start func(context.Context, lab.Options) (*lab.Guest, error)) guest {
	t.Helper()
	if err := lab.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.Image == nil {
		o.Image = buildImage(t)
	}
	if o.Image.Native() {
		o.Program = os.Getenv("DRIVERD_PROGRAM") // see make guest-test
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g, err := start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			dir := t.ArtifactDir()
			told := []string{"journal", "console"}
			if err := g.Collect(dir); err != nil {
				t.Error(err)
				told = append(told, "processors") // it may hang
			}
			for _, name := range told {
				if log, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
					t.Logf("the guest's %s, all of it in %s:\n%s", name, dir, log[max(0, len(log)-8000):])
				}
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return guest{t, g}
}

// in returns the guest for a subtest.
func (g guest) in(t *testing.T) guest { return guest{t, g.vm} }

// patient is the context of one thing that takes a while.
func (g guest) patient() context.Context {
	limit := patience * g.vm.Slowness()
	ctx, cancel := context.WithTimeoutCause(g.Context(), limit, fmt.Errorf("more than %s have passed", limit))
	g.Cleanup(cancel)
	return ctx
}

func (g guest) plug(id, driver string) hwdetect.Slot {
	g.Helper()
	return g.plugDevice(lab.Device{ID: id, Driver: driver})
}

func (g guest) plugDevice(d lab.Device) hwdetect.Slot {
	g.Helper()
	slot, err := g.vm.Plug(g.patient(), d)
	if err != nil {
		g.Fatal(err)
	}
	return slot
}

func (g guest) unplug(id string) {
	g.Helper()
	if err := g.vm.Unplug(g.patient(), id); err != nil {
		g.Fatal(err)
	}
}

// slot is where the device of that id is.
func (g guest) slot(id string) hwdetect.Slot {
	g.Helper()
	slot, err := g.vm.Slot(g.patient(), id)
	if err != nil {
		g.Fatal(err)
	}
	return slot
}

// sh runs a script in the guest, which must succeed.
func (g guest) sh(format string, args ...any) string {
	g.Helper()
	out, err := g.vm.Output(g.patient(), fmt.Sprintf(format, args...))
	if err != nil {
		g.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// lines is how many lines a script prints.
func (g guest) lines(format string, args ...any) int {
	g.Helper()
	out := g.sh(format, args...)
	if out == "" {
		return 0
	}
	return strings.Count(out, "\n") + 1
}

// until waits until a script succeeds.
func (g guest) until(format string, args ...any) {
	g.Helper()
	if _, err := g.vm.Until(g.patient(), fmt.Sprintf(format, args...)); err != nil {
		g.Fatal(err)
	}
}

// await waits for a state of the device in slot, and returns what is shown then.
func (g guest) await(slot hwdetect.Slot, state string) lab.Shown {
	g.Helper()
	s, err := g.vm.AwaitState(g.patient(), slot, nil, state)
	if err != nil {
		g.Fatal(err)
	}
	return s
}

// bound waits until driver has taken the device, and sees that sysfs agrees.
func (g guest) bound(slot hwdetect.Slot, driver string) lab.Shown {
	g.Helper()
	s := g.await(slot, "bound")
	if s.Driver != driver {
		g.Errorf("%s is bound to %q, want %q", slot, s.Driver, driver)
	}
	if got := g.sh("basename $(readlink /sys/bus/pci/devices/%s/driver)", slot); got != driver {
		g.Errorf("sysfs has driver %q for %s", got, slot)
	}
	return s
}

// begun is how many transactions driverd has begun since the guest's last start.
func (g guest) begun() int {
	g.Helper()
	return g.lines("journalctl -b -q -o cat -u driverd.service DRIVERD_EVENT=job-started")
}

// idle waits until no job is at work: a device has its driver before that.
func (g guest) idle() {
	g.Helper()
	g.until(`! busctl --json=short call org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.freedesktop.DBus.ObjectManager GetManagedObjects | grep -q '"data":"running"'`)
}

// refused waits for a state that a reason explains.
func (g guest) refused(slot hwdetect.Slot, state, reason string) {
	g.Helper()
	s := g.await(slot, state)
	if s.Reason != reason || s.Message == "" {
		g.Errorf("%s is %s for %q (%q), want %q", slot, state, s.Reason, s.Message, reason)
	}
}

// refusedAnew is refused for a device that was refused for another reason.
func (g guest) refusedAnew(slot hwdetect.Slot, state, reason string) {
	g.Helper()
	g.until("busctl get-property org.fedoraproject.Driverd1 %s org.fedoraproject.Driverd1.Device Reason | grep -qx 's \"%s\"'", api.DevicePath(slot.String()), reason)
	g.refused(slot, state, reason)
}

// gone waits until driverd shows no device in slot.
func (g guest) gone(slot hwdetect.Slot) {
	g.Helper()
	g.until("! busctl introspect org.fedoraproject.Driverd1 %s org.fedoraproject.Driverd1.Device >/dev/null 2>&1", api.DevicePath(slot.String()))
}

// subpackages lists the kernel's, each with the id of the transaction that
// installed it.
func (g guest) subpackages() map[string]string {
	g.Helper()
	all := make(map[string]string)
	for line := range strings.Lines(g.sh(`rpm -qa --qf '%%{NAME} %%{INSTALLTID}\n' 'kernel-modules*'`)) {
		name, transaction, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[name] = transaction
	}
	return all
}

// healthy sees that the service has run through, whatever the test did to it,
// and that nothing of another kernel was installed.
func (g guest) healthy() {
	g.Helper()
	g.sh("systemctl is-active -q driverd.service || test -e %s", api.RestFile)
	if got := g.sh("systemctl show -P NRestarts driverd.service"); got != "0" {
		g.Errorf("systemd had to restart driverd %s times", got)
	}
	if got := g.sh("journalctl -u driverd.service -o cat | grep -ciE 'panic|goroutine [0-9]' || true"); got != "0" {
		g.Error("driverd's journal holds a panic")
	}
	g.onlyRunningKernel()
}

// onlyRunningKernel sees that all packages are of exactly the running kernel,
// although the repository has a newer build of each.
func (g guest) onlyRunningKernel() {
	g.Helper()
	g.sh(`dnf5 -q repoquery --available --qf '%%{name}-%%{version}\n' 'kernel-modules-sriov' | sort -u | wc -l | grep -qx 2`)
	if got := g.sh(`for p in $(rpm -qa 'kernel*'); do rpm -q --provides $p | grep -q -- "-uname-r = $(uname -r)\$" || echo $p; done`); got != "" {
		g.Errorf("packages of another kernel are installed: %s", got)
	}
}
