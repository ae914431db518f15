// SPDX-License-Identifier: Apache-2.0

package kmod_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
)

// What claims a child is on the disk, has come to the disk since depmod ran, or is of
// the kernel's build only.
func TestChildren(t *testing.T) {
	const (
		storage = "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00"
		rdma    = "auxiliary:mlx5_core.rdma"
		bus     = "auxiliary:vendor_core.bus"
		codec   = "hdaudio:v1AF40022r00100101a01"
		unknown = "usb:vFFFFpFFFFd0000dc00dsc00dp00icFFiscFFipFFin00"
	)
	dir := t.TempDir()
	for file, text := range map[string]string{
		"modules.alias": "alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb_storage\nalias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb-storage\n" +
			"alias usb:v46F4p0001* gone\nalias auxiliary:vendor_core.bus vendor\nalias auxiliary:mlx5_core.rdma\nalias usb*:v46F4p0001* nobus\nalias * all\n",
		"modules.dep": "kernel/usb-storage.ko.xz: kernel/usbcore.ko.xz\nkernel/gone.ko.xz:\nkernel/nobus.ko:\nkernel/all.ko:\nweak-updates/vendor.ko:\n",
		"modules.catalog": "# modules of Linux 7\n\nmodule usb_storage\ngroup passthrough\nalias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*\n\n" +
			"module mlx5_ib\ngroup sriov\nfile kernel/mlx5_ib.ko.xz\nalias auxiliary:mlx5_core.rdma\nalias auxiliary:mlx5_core.rdma\n\n" +
			"module snd-hda-codec-generic\ngroup hardware\nfile kernel/generic.ko.xz\nalias hdaudio:v*r*a01*\n\nmodule evil\nfile ../../etc/passwd\nalias hdaudio:v1AF4*\n",
		"kernel/usb-storage.ko.xz": "", "kernel/nobus.ko": "", "kernel/all.ko": "", "kernel/generic.ko.xz": "",
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// As EL's weak-modules links to a module of another build.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "weak-updates"), 0o755), os.Symlink("/lib/modules/1/extra/vendor.ko", filepath.Join(dir, "weak-updates/vendor.ko"))); err != nil {
		t.Fatal(err)
	}
	got, err := kmod.Children(dir, []string{storage, rdma, bus, codec, unknown, "hostile", storage})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]hwdetect.ChildModules{
		storage: {Installed: []string{"usb_storage"}},
		rdma:    {Shipped: []hwdetect.Module{{Name: "mlx5_ib", Group: "sriov"}}},
		bus:     {Installed: []string{"vendor"}},
		codec: {
			Fresh:   []string{"snd_hda_codec_generic"},
			Shipped: []hwdetect.Module{{Name: "snd_hda_codec_generic", Group: "hardware"}, {Name: "evil"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := kmod.Children(t.TempDir(), []string{storage}); err != nil || len(got) != 0 {
		t.Errorf("no modules at all: %v, %v", got, err)
	}
}
