// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"driverd/daemon/load"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
)

// The kernel is asked for one device, and only where it may look by itself.
func TestOffer(t *testing.T) {
	t.Parallel()
	for auto, want := range map[string]string{"1\n": "0000:01:00.0", "0\n": "", "": ""} {
		root := t.TempDir()
		bus := filepath.Join(root, "sys/bus/pci")
		probe := filepath.Join(bus, "drivers_probe")
		err := errors.Join(os.MkdirAll(bus, 0o755), os.WriteFile(probe, nil, 0o600))
		if auto != "" {
			err = errors.Join(err, os.WriteFile(filepath.Join(bus, "drivers_autoprobe"), []byte(auto), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		offered := load.Offer(root, hwdetect.Slot{Bus: 1})
		if got, err := os.ReadFile(probe); err != nil || string(got) != want || offered != (want != "") {
			t.Errorf("with %q: wrote %q, %v; it says %v", auto, got, err, offered)
		}
	}
	if load.Offer(t.TempDir(), hwdetect.Slot{Bus: 1}) {
		t.Error("without a bus, it was offered")
	}
}

// A driver tries again only when there is a file that it lacked.
func TestSupplied(t *testing.T) {
	t.Parallel()
	const lacks = "igb 0000:01:00.0: Direct firmware load for "
	g := firmware.Guest{Root: t.TempDir(), Release: "7.2"}
	dir := filepath.Join(g.Root, "lib/firmware")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "b.bin.xz"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		said []string
		want bool
	}{
		{nil, false}, // of a device that was unbound, for instance
		{[]string{"igb 0000:01:00.0: probe with driver igb failed with error -12"}, false},
		{[]string{lacks + "a.bin failed with error -2"}, false},
		{[]string{lacks + "b.bin failed with error -2"}, true},
		{[]string{lacks + "b.bin failed with error -22"}, false},
		{[]string{lacks + "a.bin failed with error -2", lacks + "b.bin failed with error -2"}, true},
		{[]string{"igb 0000:02:00.0: Direct firmware load for b.bin failed with error -2"}, false},
	} {
		v := load.Evidence{Slot: hwdetect.Slot{Bus: 1}}
		v.Remember(said("", test.said...))
		if test.want != v.Supplied(g) {
			t.Errorf("%q: supplied is %v", test.said, !test.want)
		}
	}
}
