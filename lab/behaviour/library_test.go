// SPDX-License-Identifier: Apache-2.0

//go:build lab

package behaviour_test

import (
	"strings"
	"testing"

	"driverd/lab"
)

// TestKernelOfALibrary boots the guest with libkrunfw's kernel, which has neither modules
// nor PCI. driverd answers every command with that reason and installs nothing.
func TestKernelOfALibrary(t *testing.T) {
	t.Parallel()
	image, err := lab.WithLibraryKernel(t.Context(), buildImage(t))
	if err != nil {
		t.Fatal(err)
	}
	g := boot(t, lab.Options{Image: image}, lab.Start{Machine: lab.MicroVM, Words: []string{"nomodule", "reboot=t"}})
	if got := g.sh("uname -r"); got != image.Release {
		t.Errorf("kernel %s runs, want %s", got, image.Release)
	}
	g.sh("test ! -e /proc/modules && test ! -e /sys/bus/pci")
	packages := g.sh("rpm -qa | sort")
	g.inactive("no-module-support")
	for _, c := range []struct {
		command string
		code    int
		says    string
	}{
		{"driverd", 4, "inactive (no-module-support)"},
		{"driverd status --json", 4, `"reason": "no-module-support"`},
		{"driverd explain 0000:01:00.0", 4, "built without modules"},
		{"driverd explain 8086:10c9", 4, "built without modules"},
		{"driverd plan", 4, "built without modules"},
		{"driverd install", 4, "built without modules"},
		{"driverd install 8086:10c9", 4, "built without modules"},
		{"driverd history", 0, ""},
		{"driverd load 0000:01:00.0", 0, ""},
	} {
		// The service has ended by itself, sooner or later: that is no other answer.
		r, err := g.vm.Run(g.patient(), "systemctl stop driverd.service; "+c.command)
		if err != nil || r.Code != c.code || !strings.Contains(strings.Join(strings.Fields(r.Stdout+r.Stderr), " "), c.says) {
			t.Errorf("%s: %v, exit code %d, want %d and %q: %s%s", c.command, err, r.Code, c.code, c.says, r.Stdout, r.Stderr)
		}
	}
	g.noDNF()
	if got := g.sh("rpm -qa | sort"); got != packages {
		t.Errorf("installed are %s, and were %s", got, packages)
	}
	if got := g.sh("systemctl list-units --failed --no-legend --plain 'driverd*'"); got != "" {
		t.Errorf("failed: %s", got)
	}

	// The next gate is closed as well: there is no PCI bus.
	g.sh(`mkdir -p /etc/driverd; echo 'ignore_gates = ["no-module-support"]' >/etc/driverd/driverd.toml`)
	g.inactive("no-driver")
}
