// SPDX-License-Identifier: Apache-2.0

package sysfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/hwdetect/sysfs"
)

const card = "0000:01:00.0"

// below adds a device below the card, as the kernel does: on a bus or of a class,
// with files NAME, TEXT, and bound to a driver if there is one.
func (tr tree) below(path, subsystem, driver string, files ...string) {
	tr.t.Helper()
	dir := tr.path("sys/devices/pci0000:00/" + card + "/" + path)
	tr.must(os.MkdirAll(filepath.Join(dir, "power"), 0o755))
	tr.must(os.Symlink("../../../../"+subsystem, filepath.Join(dir, "subsystem")))
	if driver != "" {
		tr.must(os.Symlink("../../../../"+subsystem+"/drivers/"+driver, filepath.Join(dir, "driver")))
	}
	for i := 0; i < len(files); i += 2 {
		tr.must(os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o644))
	}
}

// parts reads what is below the card; which binding it is is left out.
func (tr tree) parts() hwdetect.Parts {
	tr.t.Helper()
	parts, err := sysfs.New(tr.root).Parts(slot(tr.t, card))
	tr.must(err)
	parts.Binding = 0
	return parts
}

func TestParts(t *testing.T) {
	const (
		storage = "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00"
		disk    = "usb3/3-1/3-1:1.0/host2/target2:0:0/2:0:0:0"
	)
	for name, c := range map[string]struct {
		build func(tree)
		want  hwdetect.Parts
	}{
		"a network card": {func(tr tree) {
			tr.below("net/enp1s0", "class/net", "")
			tr.below("net/enp1s0/queues/rx-0", "class/queues", "")
			tr.below("infiniband/mlx5_0", "class/infiniband", "")
			tr.below("ptp/ptp0", "class/ptp", "")
			tr.below("mlx5_core.eth.0", "bus/auxiliary", "mlx5_core.eth")
			tr.below("mlx5_core.rdma.0", "bus/auxiliary", "")
		}, hwdetect.Parts{
			Functions: []string{"infiniband/mlx5_0", "net/enp1s0"},
			Children: []hwdetect.Child{
				{Path: "mlx5_core.eth.0", Modalias: "auxiliary:mlx5_core.eth", Driver: "mlx5_core.eth"},
				{Path: "mlx5_core.rdma.0", Modalias: "auxiliary:mlx5_core.rdma"},
			},
		}},
		"an interface that the hypervisor has twice": {func(tr tree) {
			tr.must(os.MkdirAll(tr.path("sys/class/net/eth0/device"), 0o755))
			tr.below("net/enP1s1", "class/net", "")
			tr.link(card, "net/enP1s1/master", "../../../vmbus/net/eth0")
		}, hwdetect.Parts{Functions: []string{"net/eth0/enP1s1"}}},
		"an interface in a bridge": {func(tr tree) {
			tr.must(os.MkdirAll(tr.path("sys/class/net/br0"), 0o755))
			tr.below("net/enp1s0", "class/net", "")
			tr.link(card, "net/enp1s0/master", "../../../virtual/net/br0")
		}, hwdetect.Parts{Functions: []string{"net/enp1s0"}}},
		"an interface whose master is made up": {func(tr tree) {
			for i, target := range []string{"..", "/", "a\nb", "../../../../../../../etc", strings.Repeat("a/", 1500)} {
				name := fmt.Sprintf("net/enp%d", i)
				tr.below(name, "class/net", "")
				tr.link(card, name+"/master", target)
			}
		}, hwdetect.Parts{Functions: []string{"net/enp0", "net/enp1", "net/enp2", "net/enp3", "net/enp4"}}},
		"a disk behind USB": {func(tr tree) {
			tr.below("usb3", "bus/usb", "usb", "uevent", "DEVTYPE=usb_device\n")
			tr.below("usb3/3-1", "bus/usb", "usb")
			tr.below("usb3/3-1/3-1:1.0", "bus/usb", "usb-storage", "modalias", storage+"\n", "uevent", "MODALIAS="+storage+"\n")
			tr.below(disk, "bus/scsi", "sd", "modalias", "scsi:t-0x00\n")
			tr.below(disk+"/block/sda", "class/block", "", "hidden", "0\n")
			tr.below(disk+"/block/sda/sda1", "class/block", "", "partition", "1\n")
		}, hwdetect.Parts{
			Functions: []string{"block/sda"},
			Children: []hwdetect.Child{
				{Path: "usb3/3-1/3-1:1.0", Modalias: storage, Driver: "usb-storage"},
				{Path: disk, Modalias: "scsi:t-0x00", Driver: "sd"},
			},
		}},
		"a controller of disks": {func(tr tree) {
			tr.below("nvme/nvme0", "class/nvme", "")
			tr.below("nvme/nvme0/ng0n1", "class/nvme-generic", "")
			tr.below("nvme/nvme0/nvme0c0n1", "class/block", "", "hidden", "1\n")
			tr.below("nvme/nvme0/nvme0n1", "class/block", "", "hidden", "0\n")
		}, hwdetect.Parts{Functions: []string{"block/nvme0n1", "nvme/nvme0"}}},
		"a display": {func(tr tree) {
			tr.below("drm/card1", "class/drm", "")
			tr.below("drm/card1/card1-HDMI-A-1", "class/drm", "")
			tr.below("drm/renderD128", "class/drm", "")
		}, hwdetect.Parts{Functions: []string{"drm/card1"}}},
		// An input device names its drivers, and never has one of its own.
		"a keyboard": {func(tr tree) {
			tr.below("usb3/3-1/3-1:1.0/0003:0627:0001.0001", "bus/hid", "hid-generic", "modalias", "hid:b0003g0001v00000627p00000001\n")
			tr.below("usb3/3-1/3-1:1.0/0003:0627:0001.0001/input/input5", "class/input", "", "modalias", "input:b0003v0627p0001\n")
		}, hwdetect.Parts{Children: []hwdetect.Child{
			{Path: "usb3/3-1/3-1:1.0/0003:0627:0001.0001", Modalias: "hid:b0003g0001v00000627p00000001", Driver: "hid-generic"},
		}}},
		"what has a slot of its own": {func(tr tree) {
			tr.below("0000:02:00.0", "bus/pci", "", "modalias", igb)
			tr.below("0000:02:00.0/net/enp2s0", "class/net", "")
			tr.below("pci0002:00/0002:00:00.0", "bus/pci", "", "modalias", igb)
		}, hwdetect.Parts{}},
		// Nothing that a recorded tree links to is followed.
		"a loop": {func(tr tree) {
			tr.link(card, "net", "..")
			tr.link(card, "usb3", ".")
		}, hwdetect.Parts{}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.device(card)
			c.build(tr)
			if diff := cmp.Diff(c.want, tr.parts()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a child says of itself may be made to do harm. Its neighbour is not touched
// by it.
func TestPartsOfAHostileDevice(t *testing.T) {
	good := hwdetect.Child{Path: "z", Modalias: "auxiliary:z"}
	for name, modalias := range map[string]string{
		"an option":         "-r igb",
		"a module":          "floppy",
		"two words":         "usb:v1 igb",
		"two lines":         "usb:v1\nusb:v2",
		"a control":         "usb:v1\x1b[2J",
		"no bus":            ":v1",
		"longer than known": "usb:" + strings.Repeat("v", 4000),
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.device(card)
			tr.below("a", "bus/usb", "", "modalias", modalias+"\n")
			tr.below("z", "bus/auxiliary", "", "modalias", "auxiliary:z\n")
			parts := tr.parts()
			if diff := cmp.Diff([]hwdetect.Child{good}, parts.Children); diff != "" {
				t.Error(diff)
			}
			if parts.Problem == nil || !strings.Contains(parts.Problem.Error(), "is not a modalias") {
				t.Errorf("problem: %v", parts.Problem)
			}
		})
	}
}

// So many devices below one are not all read, and the reading says so.
func TestPartsAreBounded(t *testing.T) {
	tr := newTree(t)
	tr.device(card)
	for n := range 1030 {
		dir := tr.path(fmt.Sprintf("sys/devices/pci0000:00/%s/host0/%04d", card, n))
		tr.must(os.MkdirAll(dir, 0o755))
		tr.must(os.Symlink("/bus/scsi", dir+"/subsystem"))
		tr.must(os.WriteFile(dir+"/modalias", []byte("scsi:t-0x00\n"), 0o644))
	}
	parts := tr.parts()
	if len(parts.Children) != 1024 || parts.Problem == nil || !strings.Contains(parts.Problem.Error(), "more than 1024") {
		t.Errorf("%d children, problem %v", len(parts.Children), parts.Problem)
	}
	deep := newTree(t)
	deep.device(card)
	deep.below(strings.Repeat("d/", 100)+"end", "bus/usb", "", "modalias", "usb:v1\n")
	if parts := deep.parts(); len(parts.Children) != 0 || parts.Problem == nil {
		t.Errorf("%+v", parts)
	}
}

func TestPartsOfNothing(t *testing.T) {
	tr := newTree(t)
	if _, err := sysfs.New(tr.root).Parts(slot(t, card)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
}

// A driver that was taken off a device and given back is another binding.
func TestBinding(t *testing.T) {
	tr := newTree(t)
	tr.device(card)
	read := func() uint64 {
		parts, err := sysfs.New(tr.root).Parts(slot(t, card))
		tr.must(err)
		return parts.Binding
	}
	if read() != 0 {
		t.Error("there is no driver")
	}
	tr.link(card, "driver", "../../../bus/pci/drivers/igb")
	tr.link(card, "other", "../../../bus/pci/drivers/igb")
	first := read()
	link := tr.path("sys/devices/pci0000:00/" + card + "/")
	tr.must(os.Rename(link+"/other", link+"/driver"))
	if second := read(); first == 0 || second == 0 || first == second {
		t.Errorf("bindings %d and %d", first, second)
	}
}
