// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"driverd/api"
	"driverd/hwdetect"
	"driverd/lab"
)

// system is an operating system with driverd in it: a guest's, or one in a guest.
type system struct {
	*testing.T
	os       lab.System
	patience time.Duration // for one thing that takes a while
}

// patient is the context of one thing that takes a while.
func (s system) patient() context.Context {
	ctx, cancel := context.WithTimeoutCause(s.Context(), s.patience, fmt.Errorf("more than %s have passed", s.patience))
	s.Cleanup(cancel)
	return ctx
}

// sh runs a script in the guest, which must succeed.
func (s system) sh(format string, args ...any) string {
	s.Helper()
	out, err := s.os.Output(s.patient(), fmt.Sprintf(format, args...))
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// lines is how many lines a script prints.
func (s system) lines(format string, args ...any) int {
	s.Helper()
	out := s.sh(format, args...)
	if out == "" {
		return 0
	}
	return strings.Count(out, "\n") + 1
}

// until waits until a script succeeds.
func (s system) until(format string, args ...any) {
	s.Helper()
	if _, err := s.os.Until(s.patient(), fmt.Sprintf(format, args...)); err != nil {
		s.Fatal(err)
	}
}

// await waits for a state of the device in slot, and returns what is shown then.
func (s system) await(slot hwdetect.Slot, state string) lab.Shown {
	s.Helper()
	shown, err := s.os.AwaitState(s.patient(), slot, nil, state)
	if err != nil {
		s.Fatal(err)
	}
	return shown
}

// bound waits until driver has taken the device, and sees that sysfs agrees.
func (s system) bound(slot hwdetect.Slot, driver string) lab.Shown {
	s.Helper()
	shown := s.await(slot, "bound")
	if shown.Driver != driver {
		s.Errorf("%s is bound to %q, want %q", slot, shown.Driver, driver)
	}
	if got := s.sh("basename $(readlink /sys/bus/pci/devices/%s/driver)", slot); got != driver {
		s.Errorf("sysfs has driver %q for %s", got, slot)
	}
	return shown
}

// begun is how many transactions driverd has begun since the guest's last start.
func (s system) begun() int {
	s.Helper()
	return s.lines("journalctl -b -q -o cat -u driverd.service DRIVERD_EVENT=job-started")
}

// idle waits until no job is at work: a device has its driver before that.
func (s system) idle() {
	s.Helper()
	s.until(`! busctl --json=short call org.fedoraproject.Driverd1 /org/fedoraproject/Driverd1 org.freedesktop.DBus.ObjectManager GetManagedObjects | grep -q '"data":"running"'`)
}

// refused waits for a state that a reason explains.
func (s system) refused(slot hwdetect.Slot, state, reason string) {
	s.Helper()
	shown := s.await(slot, state)
	if shown.Reason != reason || shown.Message == "" {
		s.Errorf("%s is %s for %q (%q), want %q", slot, state, shown.Reason, shown.Message, reason)
	}
}

// refusedAnew is refused for a device that was refused for another reason.
func (s system) refusedAnew(slot hwdetect.Slot, state, reason string) {
	s.Helper()
	s.until("busctl get-property org.fedoraproject.Driverd1 %s org.fedoraproject.Driverd1.Device Reason | grep -qx 's \"%s\"'", api.DevicePath(slot.String()), reason)
	s.refused(slot, state, reason)
}

// gone waits until driverd shows no device in slot.
func (s system) gone(slot hwdetect.Slot) {
	s.Helper()
	s.until("! busctl introspect org.fedoraproject.Driverd1 %s org.fedoraproject.Driverd1.Device >/dev/null 2>&1", api.DevicePath(slot.String()))
}

// subpackages lists the kernel's, each with the id of the transaction that
// installed it.
func (s system) subpackages() map[string]string {
	s.Helper()
	all := make(map[string]string)
	for line := range strings.Lines(s.sh(`rpm -qa --qf '%%{NAME} %%{INSTALLTID}\n' 'kernel-modules*'`)) {
		name, transaction, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[name] = transaction
	}
	return all
}

// healthy sees that the service has run through, and that nothing of another kernel was
// installed.
func (s system) healthy() {
	s.Helper()
	s.ranThrough()
	s.onlyRunningKernel()
}

// ranThrough sees that the service has run through, whatever the test did to it.
func (s system) ranThrough() {
	s.Helper()
	s.sh("systemctl is-active -q driverd.service || test -e %s", api.RestFile)
	if got := s.sh("systemctl show -P NRestarts driverd.service"); got != "0" {
		s.Errorf("systemd had to restart driverd %s times", got)
	}
	if got := s.sh("journalctl -u driverd.service -o cat | grep -ciE 'panic|goroutine [0-9]' || true"); got != "0" {
		s.Error("driverd's journal holds a panic")
	}
}

// onlyRunningKernel sees that all packages are of exactly the running kernel,
// although the repository has a newer build of each.
func (s system) onlyRunningKernel() {
	s.Helper()
	s.sh(`dnf5 -q repoquery --available --qf '%%{name}-%%{version}\n' 'kernel-modules-sriov' | sort -u | wc -l | grep -qx 2`)
	if got := s.sh(`for p in $(rpm -qa 'kernel*'); do rpm -q --provides $p | grep -q -- "-uname-r = $(uname -r)\$" || echo $p; done`); got != "" {
		s.Errorf("packages of another kernel are installed: %s", got)
	}
}
