// SPDX-License-Identifier: Apache-2.0

package sysfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"driverd/hwdetect"
	"driverd/hwdetect/sysfs"
)

const igb = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"

// tree is a /sys to be read, in a directory of its own.
type tree struct {
	t    testing.TB
	root string
}

func newTree(t testing.TB) tree {
	tr := tree{t, t.TempDir()}
	tr.must(os.MkdirAll(tr.path("sys/bus/pci/devices"), 0o755))
	return tr
}

func (tr tree) must(err error) {
	tr.t.Helper()
	if err != nil {
		tr.t.Fatal(err)
	}
}

func (tr tree) path(name string) string { return filepath.Join(tr.root, name) }

// device adds an unbound igb, linked as the kernel does.
func (tr tree) device(slot string) {
	tr.t.Helper()
	dir := tr.path("sys/devices/pci0000:00/" + slot)
	tr.must(os.MkdirAll(dir, 0o755))
	for name, text := range map[string]string{
		"vendor": "0x8086", "device": "0x10c9", "subsystem_vendor": "0x8086", "subsystem_device": "0xa03c",
		"class": "0x020000", "modalias": igb, "driver_override": "(null)",
	} {
		tr.must(os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644))
	}
	tr.must(os.Symlink("../../../devices/pci0000:00/"+slot, tr.path("sys/bus/pci/devices/"+slot)))
}

func (tr tree) write(slot, name, text string) {
	tr.t.Helper()
	tr.must(os.WriteFile(tr.path("sys/devices/pci0000:00/"+slot+"/"+name), []byte(text), 0o644))
}

func (tr tree) link(slot, name, target string) {
	tr.t.Helper()
	tr.must(os.Symlink(target, tr.path("sys/devices/pci0000:00/"+slot+"/"+name)))
}

// plain is what device adds.
func plain(slot hwdetect.Slot) hwdetect.Device {
	return hwdetect.Device{
		Slot: slot, Vendor: 0x8086, Product: 0x10C9, SubVendor: 0x8086, SubProduct: 0xA03C,
		Class: 0x020000, Modalias: igb,
	}
}

func slot(t testing.TB, s string) hwdetect.Slot {
	t.Helper()
	slot, err := hwdetect.ParseSlot(s)
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

// anyStay leaves out what the tree's file system decides.
var anyStay = cmpopts.IgnoreFields(hwdetect.Device{}, "Generation")

// A device that comes again is another stay, though nothing else tells it from the last.
func TestGenerations(t *testing.T) {
	tr := newTree(t)
	tr.device("0000:01:00.0")
	tr.device("0000:02:00.0")
	scanner := sysfs.New(tr.root)
	generation := func(name string) uint64 {
		d, err := scanner.Device(slot(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return d.Generation
	}
	first, second := generation("0000:01:00.0"), generation("0000:02:00.0")
	if first == 0 || first == second || generation("0000:01:00.0") != first {
		t.Errorf("the stays are %d and %d, and later %d", first, second, generation("0000:01:00.0"))
	}
	const folder = "sys/bus/pci/devices/"
	tr.must(os.Rename(tr.path(folder+"0000:01:00.0"), tr.path(folder+"gone")))
	tr.must(os.Rename(tr.path(folder+"0000:02:00.0"), tr.path(folder+"0000:01:00.0")))
	if got := generation("0000:01:00.0"); got != second {
		t.Errorf("another device in the slot is stay %d, was %d", got, first)
	}
}

func TestDevices(t *testing.T) {
	tr := newTree(t)
	tr.device("10000:e1:00.0") // a domain of its own; as text it would come first
	tr.device("0000:01:10.1")
	tr.device("0000:01:00.0")
	tr.link("0000:01:00.0", "driver", "../../../bus/pci/drivers/igb")
	tr.link("0000:01:10.1", "physfn", "../0000:01:00.0")
	tr.write("0000:01:00.0", "driver_override", "igb\n") // not read: it would wait for a driver that probes
	tr.write("0000:01:10.1", "driver_override", "vfio-pci\n")
	tr.must(os.Mkdir(tr.path("sys/bus/pci/devices/not-a-slot"), 0o755))

	pf, vf, far := slot(t, "0000:01:00.0"), slot(t, "0000:01:10.1"), slot(t, "10000:e1:00.0")
	want := []hwdetect.Device{plain(pf), plain(vf), plain(far)}
	want[0].Driver = "igb"
	want[1].DriverOverride = "vfio-pci"
	want[1].PhysFn = &pf

	got, err := sysfs.New(tr.root).Devices()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, anyStay); diff != "" {
		t.Errorf("Devices (-want +got):\n%s", diff)
	}
}

// A physical function may keep its virtual functions for somebody else.
func TestProbeOff(t *testing.T) {
	tr := newTree(t)
	for _, name := range []string{"0000:01:00.0", "0000:01:10.1", "0000:01:10.3", "0000:02:00.0", "0000:02:10.1"} {
		tr.device(name)
	}
	tr.write("0000:01:00.0", "sriov_drivers_autoprobe", "0\n")
	tr.write("0000:02:00.0", "sriov_drivers_autoprobe", "1\n")
	tr.link("0000:01:10.1", "physfn", "../0000:01:00.0")
	tr.link("0000:01:10.3", "physfn", "../0000:01:00.0")
	tr.link("0000:01:10.3", "driver", "../../../bus/pci/drivers/igbvf")
	tr.link("0000:02:10.1", "physfn", "../0000:02:00.0")
	devices, err := sysfs.New(tr.root).Devices()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if d.ProbeOff != (d.Slot == slot(t, "0000:01:10.1")) || d.Problem != nil {
			t.Errorf("%s: %v, %v", d.Slot, d.ProbeOff, d.Problem)
		}
	}
}

func TestDevicesWithoutPCI(t *testing.T) {
	for name, dir := range map[string]string{"no sys": "", "no bus": "sys/bus", "no devices": "sys/bus/pci"} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := sysfs.New(root).Devices(); !errors.Is(err, sysfs.ErrNoPCI) {
			t.Errorf("%s: error %v, want ErrNoPCI", name, err)
		}
	}
	if _, err := sysfs.New(filepath.Join(t.TempDir(), "none")).Devices(); err == nil || errors.Is(err, sysfs.ErrNoPCI) {
		t.Errorf("no root: error %v, want one, and not ErrNoPCI", err)
	}
}

func TestDevice(t *testing.T) {
	tr := newTree(t)
	tr.device("0000:01:00.0")
	scanner := sysfs.New(tr.root)

	got, err := scanner.Device(slot(t, "0000:01:00.0"))
	if diff := cmp.Diff(plain(slot(t, "0000:01:00.0")), got, anyStay); err != nil || diff != "" {
		t.Errorf("Device: %v (-want +got):\n%s", err, diff)
	}
	if _, err := scanner.Device(slot(t, "0000:02:00.0")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent device: error %v, want fs.ErrNotExist", err)
	}
}

// A hostile or broken device has a problem; its neighbour is not touched by it.
func TestBadDevice(t *testing.T) {
	const bad, good = "0000:01:00.0", "0000:02:00.0"
	attribute := func(name string) string { return "sys/devices/pci0000:00/" + bad + "/" + name }
	for _, c := range []struct {
		name    string
		spoil   func(tree)
		problem string
		want    func(*hwdetect.Device)
	}{
		{"broken modalias", func(tr tree) { tr.write(bad, "modalias", "pci:v0000\x1b[31m") }, "cannot read modalias",
			func(d *hwdetect.Device) { d.Modalias = "" }},
		{"empty modalias", func(tr tree) { tr.write(bad, "modalias", "") }, "cannot read modalias",
			func(d *hwdetect.Device) { d.Modalias = "" }},
		{"endless modalias", func(tr tree) { tr.write(bad, "modalias", strings.Repeat("x", 1<<20)) },
			"longer than 4096 bytes", func(d *hwdetect.Device) { d.Modalias = "" }},
		{"modalias a directory", func(tr tree) {
			tr.must(os.Remove(tr.path(attribute("modalias"))))
			tr.must(os.Mkdir(tr.path(attribute("modalias")), 0o755))
		}, "not a regular file", func(d *hwdetect.Device) { d.Modalias = "" }},
		{"modalias a FIFO", func(tr tree) {
			tr.must(os.Remove(tr.path(attribute("modalias"))))
			tr.must(syscall.Mkfifo(tr.path(attribute("modalias")), 0o644))
		}, "not a regular file", func(d *hwdetect.Device) { d.Modalias = "" }},
		{"modalias a link out of the root", func(tr tree) {
			tr.must(os.Remove(tr.path(attribute("modalias"))))
			tr.link(bad, "modalias", "/proc/self/environ")
		}, "cannot read modalias", func(d *hwdetect.Device) { d.Modalias = "" }},
		{"no modalias, vendor too big", func(tr tree) {
			tr.write(bad, "modalias", "")
			tr.write(bad, "vendor", "0x18086\n")
		}, "cannot read modalias", func(d *hwdetect.Device) { d.Modalias, d.Vendor = "", 0 }},
		{"no modalias, vendor without 0x", func(tr tree) {
			tr.write(bad, "modalias", "")
			tr.write(bad, "vendor", "8086\n")
		}, "cannot read modalias", func(d *hwdetect.Device) { d.Modalias, d.Vendor = "", 0 }},
		{"no modalias, no class", func(tr tree) {
			tr.write(bad, "modalias", "")
			tr.must(os.Remove(tr.path(attribute("class"))))
		}, "cannot read modalias", func(d *hwdetect.Device) { d.Modalias, d.Class = "", 0 }},
		{"driver a file", func(tr tree) { tr.write(bad, "driver", "igb") }, "cannot read driver", nil},
		{"driver a dot", func(tr tree) { tr.link(bad, "driver", "../..") }, "not the name of a driver", nil},
		{"driver with an escape", func(tr tree) { tr.link(bad, "driver", "x/\x1b[31m") }, "not the name of a driver", nil},
		{"override with a newline", func(tr tree) { tr.write(bad, "driver_override", "a\nb\n") }, "not the name of a driver", nil},
		{"physfn no slot", func(tr tree) { tr.link(bad, "physfn", "../igb") }, "as a PCI slot", nil},
		{"no override file", func(tr tree) { tr.must(os.Remove(tr.path(attribute("driver_override")))) }, "", nil},
		{"device a link out of the root", func(tr tree) {
			name := tr.path("sys/bus/pci/devices/" + bad)
			tr.must(os.Remove(name))
			tr.must(os.Symlink("/sys", name))
		}, "cannot open the device's directory",
			func(d *hwdetect.Device) { *d = hwdetect.Device{Slot: d.Slot} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTree(t)
			tr.device(bad)
			tr.device(good)
			c.spoil(tr)
			got, err := sysfs.New(tr.root).Devices()
			if err != nil || len(got) != 2 {
				t.Fatalf("Devices: %d devices, %v, want 2", len(got), err)
			}

			if problem := fmt.Sprint(got[0].Problem); c.problem != "" && !strings.Contains(problem, c.problem) {
				t.Errorf("Problem = %q, want it to say %q", problem, c.problem)
			} else if c.problem == "" && got[0].Problem != nil {
				t.Errorf("Problem = %q, want none", problem)
			}
			want := []hwdetect.Device{plain(slot(t, bad)), plain(slot(t, good))}
			if c.want != nil {
				c.want(&want[0])
			}
			if diff := cmp.Diff(want, got, anyStay, cmpopts.IgnoreFields(hwdetect.Device{}, "Problem")); diff != "" {
				t.Errorf("Devices (-want +got):\n%s", diff)
			}
			if got[1].Problem != nil {
				t.Errorf("the good device has a problem: %v", got[1].Problem)
			}
		})
	}
}

// A link without its directory is what a device looks like while it goes away.
func TestVanishingDeviceIsLeftOut(t *testing.T) {
	tr := newTree(t)
	tr.device("0000:01:00.0")
	tr.device("0000:02:00.0")
	tr.must(os.RemoveAll(tr.path("sys/devices/pci0000:00/0000:01:00.0")))

	got, err := sysfs.New(tr.root).Devices()
	if diff := cmp.Diff([]hwdetect.Device{plain(slot(t, "0000:02:00.0"))}, got, anyStay); err != nil || diff != "" {
		t.Errorf("Devices: %v (-want +got):\n%s", err, diff)
	}
}

// Devices come and go while the scanner reads: it returns whole devices, or
// devices with a problem, but never an error.
func TestScanDuringHotplug(t *testing.T) {
	tr := newTree(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		scanner := sysfs.New(tr.root)
		for {
			got, err := scanner.Devices()
			if err != nil {
				t.Error(err)
			}
			for _, dev := range got {
				if diff := cmp.Diff(plain(dev.Slot), dev, anyStay); dev.Problem == nil && diff != "" {
					t.Errorf("torn device without a problem (-want +got):\n%s", diff)
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range 20 {
		for i := range 8 {
			tr.device(fmt.Sprintf("0000:01:%02x.0", i))
		}
		for i := range 8 {
			name := fmt.Sprintf("0000:01:%02x.0", i)
			tr.must(os.Remove(tr.path("sys/bus/pci/devices/" + name)))
			tr.must(os.RemoveAll(tr.path("sys/devices/pci0000:00/" + name)))
		}
	}
	close(stop)
	<-done
}

// The machine that runs the tests is one more guest to read.
func TestRunningSystem(t *testing.T) {
	got, err := sysfs.New("/").Devices()
	if errors.Is(err, sysfs.ErrNoPCI) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, dev := range got {
		if dev.Problem != nil {
			t.Errorf("%s: %v", dev.Slot, dev.Problem)
		}
	}
}

func BenchmarkDevices(b *testing.B) {
	tr := newTree(b)
	for i := range 4096 {
		tr.device(hwdetect.Slot{Bus: uint8(i >> 8), Device: uint8(i >> 3 & 31), Function: uint8(i & 7)}.String())
	}
	scanner := sysfs.New(tr.root)
	for b.Loop() {
		if got, err := scanner.Devices(); err != nil || len(got) != 4096 {
			b.Fatal(len(got), err)
		}
	}
}
