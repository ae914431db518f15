// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"driverd/hwdetect"
)

// What is read below one device is bounded: a host adapter can have thousands of
// disks, and what a device shows of itself may be made to do harm.
const (
	maxFolders  = 1 << 14
	maxDepth    = 24
	maxListed   = 1024 // children, and functions
	maxModalias = 1024 // bytes
)

// leaves are the classes of functions, below which is no device that needs a driver.
var leaves = []string{"net", "infiniband", "block"}

// Parts reads what the device in a slot consists of: what it gives the guest, and the
// devices below it, but for those that have a PCI slot of their own, and what is below
// those. The error is fs.ErrNotExist if there is no device, or none any more. What
// cannot be read of it is a Problem.
func (s *Scanner) Parts(slot hwdetect.Slot) (hwdetect.Parts, error) {
	fail := func(err error) (hwdetect.Parts, error) {
		return hwdetect.Parts{}, fmt.Errorf("cannot read what is below PCI device %s: %w", slot, err)
	}
	root, err := openRoot(s.root)
	if err != nil {
		return fail(err)
	}
	defer root.close()
	dir, err := root.open(path.Join(devicesDir, slot.String()))
	if err != nil {
		return fail(err)
	}
	defer dir.close()
	w := walk{root: root, buffer: newBuffer()}
	var info unix.Stat_t
	if err := unix.Fstatat(dir.fd, "driver", &info, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		w.parts.Binding = info.Ino
	}
	w.folder(dir, "", 0)
	slices.Sort(w.parts.Functions)
	slices.SortFunc(w.parts.Children, func(a, b hwdetect.Child) int { return cmp.Compare(a.Path, b.Path) })
	return w.parts, nil
}

// walk collects the parts of one device.
type walk struct {
	root    folder
	parts   hwdetect.Parts
	folders int
	buffer  []byte
}

// fail keeps the first problem. What has gone meanwhile is none.
func (w *walk) fail(name string, err error) {
	if err != nil && w.parts.Problem == nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
		w.parts.Problem = fmt.Errorf("%.80q below it: %w", name, err)
	}
}

// folder looks through an open folder. The device itself has an empty name.
func (w *walk) folder(dir folder, name string, depth int) {
	entries, err := dir.entries(name)
	if err != nil {
		w.fail(name, err)
		return
	}
	has := func(file string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == file })
	}
	if name != "" && has("subsystem") && !w.device(dir, name, has) {
		return
	}
	for _, e := range entries {
		if _, err := hwdetect.ParseSlot(e.Name()); !e.IsDir() || e.Name() == "power" || err == nil {
			continue
		}
		inner := path.Join(name, e.Name())
		if w.folders++; w.folders > maxFolders || depth == maxDepth {
			w.fail(inner, fmt.Errorf("there are more than %d folders, or they are more than %d deep: the rest is not looked at", maxFolders, maxDepth))
			return
		}
		sub, err := dir.inner(e.Name())
		if err != nil {
			w.fail(inner, err)
			continue
		}
		w.folder(sub, inner, depth+1)
		sub.close()
	}
}

// device notes a device below the one that is looked at, and says whether to look
// below it.
func (w *walk) device(dir folder, name string, has func(file string) bool) bool {
	target, err := dir.link("subsystem", w.buffer)
	if err != nil {
		w.fail(name, err)
		return false
	}
	kind, subsystem := path.Base(path.Dir(target)), path.Base(target)
	switch {
	case subsystem == "pci":
		return false
	case kind == "class":
		return w.function(dir, subsystem, name, has)
	}
	w.child(dir, subsystem, name, has)
	return true
}

// function notes a device of a class, if it is something that the guest can use.
func (w *walk) function(dir folder, class, name string, has func(string) bool) bool {
	base := path.Base(name)
	var is bool
	switch class {
	case "net", "infiniband":
		is = true
	case "nvme":
		is = !has("nsid") // else it is the character device of a disk
	case "drm":
		is = strings.HasPrefix(base, "card") && !strings.Contains(base, "-") // else a connector, or another node of the same card
	case "block":
		hidden, _ := dir.text("hidden", w.buffer) // one path of several to a disk
		is = !has("partition") && hidden != "1"
	}
	if is && len(w.parts.Functions) == maxListed {
		w.fail(name, fmt.Errorf("it has more than %d functions", maxListed))
	} else if is && isName(base) {
		if twin := w.twin(dir, class, has); twin != "" {
			base = path.Join(twin, base)
		}
		w.parts.Functions = append(w.parts.Functions, class+"/"+base)
	}
	return !slices.Contains(leaves, class)
}

// twin is the network interface that a hypervisor has beside this one for the same port,
// and that the guest uses in its place, empty if there is none: netvsc on Hyper-V takes
// the virtual function as its own, and net_failover does (Linux: netvsc_vf_join in
// drivers/net/hyperv/netvsc_drv.c, net_failover_slave_register in
// drivers/net/net_failover.c). It has a device, which a bridge or a bond has not.
func (w *walk) twin(dir folder, class string, has func(string) bool) string {
	if class != "net" || !has("master") {
		return ""
	}
	target, err := dir.link("master", w.buffer)
	name := path.Base(target)
	if err != nil || name == "" || !isName(name) {
		return ""
	}
	device, err := w.root.open(path.Join("sys/class/net", name, "device"))
	if err != nil {
		return ""
	}
	device.close()
	return name
}

// child notes a device on another bus, if the kernel looks for a driver of it.
func (w *walk) child(dir folder, bus, name string, has func(string) bool) {
	modalias, err := w.modalias(dir, bus, path.Base(name), has)
	w.fail(name, err)
	if modalias == "" {
		return
	}
	if len(w.parts.Children) == maxListed {
		w.fail(name, fmt.Errorf("there are more than %d devices that want a driver: the rest is not looked after", maxListed))
		return
	}
	child := hwdetect.Child{Path: name, Modalias: modalias}
	if has("driver") {
		if target, err := dir.link("driver", w.buffer); err == nil && isName(path.Base(target)) {
			child.Driver = path.Base(target)
		}
	}
	w.parts.Children = append(w.parts.Children, child)
}

// modalias reads the identity of a child, empty if it has none. The auxiliary bus has
// no file for it, and makes it of the name (Linux: auxiliary_uevent in
// drivers/base/auxiliary.c); to read what udev is told would wait for the driver that
// probes the child.
func (w *walk) modalias(dir folder, bus, name string, has func(string) bool) (text string, err error) {
	switch dot := strings.LastIndexByte(name, '.'); {
	case has("modalias"):
		text, err = dir.text("modalias", w.buffer)
	case bus == "auxiliary" && dot > 0:
		text = "auxiliary:" + name[:dot]
	}
	if err != nil || text == "" {
		return "", err
	}
	prefix, _, ok := strings.Cut(text, ":")
	if !ok || prefix == "" || len(text) > maxModalias || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%.40q is not a modalias", text)
	}
	return text, nil
}

// entries lists an open folder, sorted.
func (f folder) entries(name string) ([]fs.DirEntry, error) {
	again, err := f.inner(".")
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(again.fd), name)
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	entries, err := file.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries, err
}

// inner opens a folder right below f, and follows no link.
func (f folder) inner(name string) (folder, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(f.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	return folder{fd: fd}, err
}
