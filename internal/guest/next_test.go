// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"driverd/api"
	"driverd/internal/guest"
)

func TestNextKernel(t *testing.T) {
	t.Parallel()
	const nic = "alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb\n"
	devices := []api.Device{
		{Slot: "0000:01:00.0", State: "bound", Modalias: igbModalias, Group: "sriov"},
		{Slot: "0000:02:00.0", State: "bound", Modalias: "pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00", Group: "base"},
		{Slot: "0000:03:00.0", State: "failed", Modalias: "pci:v00001000d00000060sv00001000sd00001013bc01sc04i00"},
	}
	for _, test := range []struct {
		name    string
		kernels map[string]string // what modules.alias of each says
		want    *guest.NextKernel
		text    string
	}{
		{"none but the running one", map[string]string{"7.2.12-200.fc44": nic}, nil, ""},
		{"an older one", map[string]string{"7.2.12-200.fc44": nic, "7.2.9-300.fc44": ""}, nil, ""},
		{
			"ready", map[string]string{"7.2.12-200.fc44": nic, "7.10.1-100.fc45": nic},
			&guest.NextKernel{Release: "7.10.1-100.fc45", Ready: true, Missing: []string{}}, "next kernel 7.10.1-100.fc45: ready",
		},
		{
			"lacks a driver", map[string]string{"7.2.12-200.fc44": nic, "7.2.13-100.fc44": "", "7.2.13-99.fc44": nic},
			&guest.NextKernel{Release: "7.2.13-100.fc44", Missing: []string{"0000:01:00.0"}},
			"next kernel 7.2.13-100.fc44: lacks the driver of 0000:01:00.0. To install it: driverd preinstall --for 7.2.13-100.fc44 --group sriov",
		},
	} {
		dir := t.TempDir()
		for release, aliases := range test.kernels {
			write(t, filepath.Join(dir, release, "vmlinuz"), "")
			write(t, filepath.Join(dir, release, "modules.alias"), aliases)
		}
		write(t, filepath.Join(dir, "9.9.9-removed", "modules.alias"), "") // without its kernel
		got, err := guest.FindNextKernel(dir, "7.2.12-200.fc44", devices)
		if diff := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(guest.NextKernel{})); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", test.name, err, diff)
		} else if got != nil && got.Text() != test.text {
			t.Errorf("%s: it says %q", test.name, got.Text())
		}
	}
}

// The engine sees the next kernel when DNF is through with it.
func TestSuccessor(t *testing.T) {
	t.Parallel()
	const running, next = "7.2.12-200.fc44", "7.2.13-100.fc44"
	dir := t.TempDir()
	write(t, filepath.Join(dir, running, "vmlinuz"), "")
	s := &guest.Successor{Dir: dir, Running: running}
	if got := s.Next(); got.Release != "" {
		t.Errorf("with the running kernel alone: %+v", got)
	}
	write(t, filepath.Join(dir, next, "vmlinuz"), "")
	if got := s.Next(); got.Release != "" {
		t.Errorf("before depmod: %+v", got)
	}
	index := filepath.Join(dir, next, "modules.alias")
	write(t, index, "alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb\n")
	was := s.Next()
	if was.Release != next || !slices.Equal(was.Kernel.Installed(igbModalias), []string{"igb"}) {
		t.Fatalf("it is %+v", was)
	}
	if got := s.Next(); got != was {
		t.Error("it is another one, though nothing has changed")
	}
	write(t, index, "# Aliases extracted from modules themselves.\n")
	if got := s.Next(); got == was || len(got.Kernel.Installed(igbModalias)) > 0 {
		t.Error("it has not changed with its index")
	}
	if err := os.RemoveAll(filepath.Join(dir, next)); err != nil {
		t.Fatal(err)
	}
	if got := s.Next(); got.Release != "" {
		t.Errorf("once removed: %+v", got)
	}
}

// Releases are compared number by number.
func TestNewestKernel(t *testing.T) {
	t.Parallel()
	sorted := []string{
		"5.14.0-70.el9", "5.14.0-611.el9", "6.9.3-200.fc40", "6.10.0-0.rc1.fc41", "6.10.0-0.rc10.fc41", "6.10.0-1.fc41",
		"7.2.12+deb14-amd64", "99.7.2.12+deb14-amd64",
	}
	for i, a := range sorted {
		for j, b := range sorted {
			dir := t.TempDir()
			for _, release := range []string{a, b} {
				write(t, filepath.Join(dir, release, "vmlinuz"), "")
				write(t, filepath.Join(dir, release, "modules.alias"), "")
			}
			next, err := guest.FindNextKernel(dir, a, nil)
			if err != nil || (next != nil) != (i < j) || next != nil && next.Release != b {
				t.Errorf("while %s runs, %s is the next: %+v, %v", a, b, next, err)
			}
		}
	}
}

const igbModalias = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"

func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
