// SPDX-License-Identifier: Apache-2.0

//go:build lab

package bench_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/sysfs"
	"driverd/lab"
	"driverd/lab/bench/libkmod"
	"driverd/plan"
)

const igb = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"

// modulesDir is the whole module tree of the guest's kernel, after depmod.
func modulesDir(b *testing.B) (root, dir string) {
	b.Helper()
	dir, err := lab.AMD64.Modules(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return filepath.Join(dir, "../../../.."), dir
}

// cpuTime measures the CPU time of what follows until it is called back, that of
// processes included: on a machine that does something else as well, the time
// that passes says little.
func cpuTime(b *testing.B) func() {
	before := used(b, unix.RUSAGE_SELF) + used(b, unix.RUSAGE_CHILDREN)
	return func() {
		b.ReportMetric(float64(used(b, unix.RUSAGE_SELF)+used(b, unix.RUSAGE_CHILDREN)-before)/float64(b.N), "cpu-ns/op")
	}
}

// used is the CPU time so far of this process, or of its children that have ended.
func used(b *testing.B, who int) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(who, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkLookup looks one alias up among all of a distribution's kernel. Neither
// looks whether the module is still there.
func BenchmarkLookup(b *testing.B) {
	_, dir := modulesDir(b)
	b.Run("driverd", func(b *testing.B) {
		index, err := kmod.Read(dir)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		defer cpuTime(b)()
		for b.Loop() {
			if len(index.Indexed(igb)) != 1 {
				b.Fatal("not found")
			}
		}
	})
	b.Run("libkmod", func(b *testing.B) {
		index, err := libkmod.Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		defer index.Close()
		alias := libkmod.NewAlias(igb)
		defer alias.Free()
		defer cpuTime(b)()
		for b.Loop() {
			if index.Lookup(alias) != 1 {
				b.Fatal("not found")
			}
		}
	})
}

// BenchmarkExplain is a whole process that asks which module claims an alias.
func BenchmarkExplain(b *testing.B) {
	root, dir := modulesDir(b)
	driverd := filepath.Join(b.TempDir(), "driverd")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", driverd, "driverd/cmd/driverd").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for name, command := range map[string][]string{
		"driverd":  {driverd, "explain", "--root", root, igb},
		"modprobe": {"/sbin/modprobe", "--dirname", root, "--set-version", filepath.Base(dir), "--resolve-alias", igb},
	} {
		b.Run(name, func(b *testing.B) {
			defer cpuTime(b)()
			for b.Loop() {
				out, err := exec.Command(command[0], command[1:]...).Output()
				if !bytes.Contains(out, []byte("igb")) {
					b.Fatalf("%v: %s", err, out)
				}
			}
		})
	}
}

// BenchmarkLook reads all devices and decides about each; lspci -n reads them
// and prints their ids.
func BenchmarkLook(b *testing.B) {
	_, dir := modulesDir(b)
	index, err := kmod.Read(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{16, 256, 4096} {
		root := devices(b, n)
		b.Run(fmt.Sprintf("driverd/%d", n), func(b *testing.B) {
			defer cpuTime(b)()
			for b.Loop() {
				all, err := sysfs.New(root).Devices()
				if err != nil || len(all) != n {
					b.Fatal(len(all), err)
				}
				for _, d := range all {
					if plan.Decide(d, plan.Facts{Release: filepath.Base(dir), Kernel: index}).Action != plan.Load {
						b.Fatal("not decided to load igb")
					}
				}
			}
		})
		b.Run(fmt.Sprintf("lspci/%d", n), func(b *testing.B) {
			defer cpuTime(b)()
			for b.Loop() {
				cmd := exec.Command("/usr/bin/lspci", "-n", "-A", "linux-sysfs", "-O", "sysfs.path="+filepath.Join(root, "sys/bus/pci"))
				cmd.Stderr = io.Discard
				if out, err := cmd.Output(); err != nil || bytes.Count(out, []byte("\n")) != n {
					b.Fatalf("%v: %d lines", err, bytes.Count(out, []byte("\n")))
				}
			}
		})
	}
}

// devices makes a sysfs with n network cards.
func devices(b *testing.B, n int) (root string) {
	root = b.TempDir()
	config := make([]byte, 64)
	copy(config, []byte{0x86, 0x80, 0xc9, 0x10})
	config[0x0b] = 2
	for i := range n {
		slot := hwdetect.Slot{Bus: uint8(i >> 8), Device: uint8(i >> 3 & 31), Function: uint8(i & 7)}
		real := filepath.Join(root, "sys/devices/pci0000:00", slot.String())
		link := filepath.Join(root, "sys/bus/pci/devices", slot.String())
		for _, dir := range []string{real, filepath.Dir(link)} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		for name, text := range map[string]string{
			"vendor": "0x8086\n", "device": "0x10c9\n", "class": "0x020000\n", "modalias": igb + "\n",
			"subsystem_vendor": "0x8086\n", "subsystem_device": "0xa03c\n", "revision": "0x01\n",
			"driver_override": "(null)\n", "irq": "11\n", "resource": "", "config": string(config),
		} {
			if err := os.WriteFile(filepath.Join(real, name), []byte(text), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.Symlink(filepath.Join("../../../devices/pci0000:00", slot.String()), link); err != nil {
			b.Fatal(err)
		}
	}
	return root
}
