// SPDX-License-Identifier: Apache-2.0

package gate_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"driverd/daemon/gate"
	"driverd/reason"
)

const release = "7.2.12+deb14-amd64"

// What /proc/self/mountinfo of driverd.service shows in a guest that is
// installed in the usual way: the mounts are read-only, the file system is not.
const service = `29 1 254:0 / / ro,noatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
30 29 254:0 /usr /usr ro,noatime shared:2 - ext4 /dev/vda rw,errors=remount-ro
31 29 0:5 / /dev rw,nosuid shared:3 - devtmpfs dev rw,size=4096k
`

// guest is a tree with the files of a guest in which driverd can work.
func guest(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "proc/modules", "igb 282624 0 - Live 0x0000000000000000\n")
	write(t, root, "proc/self/mountinfo", service)
	write(t, root, "proc/sys/kernel/modules_disabled", "0\n")
	write(t, root, "lib/modules/"+release+"/modules.builtin", "")
	for _, dir := range []string{"proc/self/ns", "sys/bus/pci/devices"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	must(t, os.Symlink("pid:[4026531836]", filepath.Join(root, "proc/self/ns/pid")))
	return root
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func remove(t *testing.T, root, name string) {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(root, name)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// kinds are the ways in which a guest can be closed, in the order of the gates.
var kinds = []struct {
	name  string
	why   reason.Reason
	spoil func(t *testing.T, root string)
}{
	{"a PID namespace", reason.Container, func(t *testing.T, root string) {
		remove(t, root, "proc/self/ns/pid")
		must(t, os.Symlink("pid:[4026532201]", filepath.Join(root, "proc/self/ns/pid")))
	}},
	{"systemd in a container", reason.Container, func(t *testing.T, root string) { write(t, root, "run/systemd/container", "lxc") }},
	{"systemd-nspawn", reason.Container, func(t *testing.T, root string) { write(t, root, "run/host/container-manager", "systemd-nspawn") }},
	{"podman", reason.Container, func(t *testing.T, root string) { write(t, root, "run/.containerenv", "") }},
	{"Docker", reason.Container, func(t *testing.T, root string) { write(t, root, ".dockerenv", "") }},
	{"CONFIG_MODULES=n", reason.NoModuleSupport, func(t *testing.T, root string) { remove(t, root, "proc/modules") }},
	{"modules_disabled", reason.ModulesDisabled, func(t *testing.T, root string) { write(t, root, "proc/sys/kernel/modules_disabled", "1\n") }},
	{"no PCI bus", reason.NoDriver, func(t *testing.T, root string) { remove(t, root, "sys/bus/pci") }},
	{"a kernel from the host", reason.ForeignKernel, func(t *testing.T, root string) { remove(t, root, "lib/modules/"+release) }},
	{"ostree", reason.ImageMode, func(t *testing.T, root string) { write(t, root, "run/ostree-booted", "") }},
	{"a read-only /usr", reason.ImageMode, func(t *testing.T, root string) {
		write(t, root, "proc/self/mountinfo", service+"40 29 253:1 / /usr ro,relatime shared:9 - erofs /dev/dm-1 ro,user_xattr\n")
	}},
	{"a read-only root", reason.ImageMode, func(t *testing.T, root string) {
		write(t, root, "proc/self/mountinfo", "29 1 254:0 / / ro,relatime - squashfs /dev/vda ro\n")
	}},
}

func TestGates(t *testing.T) {
	t.Parallel()
	root := guest(t)
	if err := gate.Check(root, release, nil); err != nil {
		t.Errorf("a guest with everything is closed: %v", err)
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			root := guest(t)
			k.spoil(t, root)
			err := gate.Check(root, release, nil)
			if reason.Of(err) != k.why || len(err.Error()) < 20 {
				t.Errorf("got %v (%s), want reason %s", err, reason.Of(err), k.why)
			}
			ignored := gate.Check(root, release, []string{string(k.why)})
			if k.why == reason.NoDriver {
				if reason.Of(ignored) != k.why {
					t.Error("a guest without a PCI bus has nothing to look at, but its gate can be ignored")
				}
			} else if ignored != nil {
				t.Errorf("ignored, but still: %v", ignored)
			}
		})
	}
}

// The first gate that is closed is the one that says why.
func TestOrder(t *testing.T) {
	t.Parallel()
	root := guest(t)
	for i := len(kinds) - 1; i >= 0; i-- {
		kinds[i].spoil(t, root)
		if err := gate.Check(root, release, nil); reason.Of(err) != kinds[i].why {
			t.Errorf("after %s: %v (%s)", kinds[i].name, err, reason.Of(err))
		}
	}
}

// What cannot be read closes no gate: somebody who sees less must not be told
// that there is less.
func TestUnreadableIsOpen(t *testing.T) {
	t.Parallel()
	root := guest(t)
	for _, name := range []string{"proc/self/mountinfo", "proc/self/ns/pid", "proc/sys/kernel/modules_disabled"} {
		remove(t, root, name)
	}
	write(t, root, "proc/self/mountinfo", "\n29\n29 1 254:0 / / ro - ext4\n")
	if err := gate.Check(root, release, nil); err != nil {
		t.Error(err)
	}
}

// The machine that runs the tests is one more guest; often its kernel has no
// modules, as one under Firecracker has not.
func TestThisMachine(t *testing.T) {
	t.Parallel()
	err := gate.Check("/", release, []string{string(reason.Container)})
	_, statErr := os.Stat("/proc/modules")
	if lacks, says := errors.Is(statErr, fs.ErrNotExist), reason.Of(err) == reason.NoModuleSupport; lacks != says {
		t.Errorf("/proc/modules: %v; the gate says %v", statErr, err)
	}
}
