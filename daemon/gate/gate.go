// SPDX-License-Identifier: Apache-2.0

// Package gate says whether driverd can do anything in this guest at all. It
// goes by what the guest can do and not by whose it is: a name says little, as
// every hypervisor lets its guests have any kernel.
package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"driverd/hwdetect/sysfs"
	"driverd/reason"
)

// gate is one condition under which driverd can do nothing.
type gate struct {
	reason reason.Reason
	closed func(guest) error // says why, in one sentence for a person; nil if the gate is open
}

// gates are in the order in which they are asked: each makes sense only if
// those before it are open.
var gates = []gate{
	{reason.Container, guest.container},
	{reason.NoModuleSupport, guest.noModuleSupport},
	{reason.ModulesDisabled, guest.modulesDisabled},
	{reason.NoDriver, guest.noPCI},
	{reason.ForeignKernel, guest.foreignKernel},
	{reason.ImageMode, guest.imageMode},
}

// Names are the gates that can be ignored, by the reason that they give. A guest
// without a PCI bus has nothing to look at, whoever ignores that.
var Names = []string{
	string(reason.Container), string(reason.NoModuleSupport), string(reason.ModulesDisabled),
	string(reason.ForeignKernel), string(reason.ImageMode),
}

// Check asks the gates of the guest whose files are under root ("/" for this
// one) and whose kernel has the given release. The error of the first that is
// closed, and not among those to ignore, carries its reason.
func Check(root, release string, ignore []string) error {
	g := guest{root, release}
	for _, gate := range gates {
		if slices.Contains(Names, string(gate.reason)) && slices.Contains(ignore, string(gate.reason)) {
			continue
		}
		if err := gate.closed(g); err != nil {
			return reason.With(gate.reason, err)
		}
	}
	return nil
}

// guest is where the gates look.
type guest struct{ root, release string }

func (g guest) path(name string) string { return filepath.Join(g.root, name) }

func (g guest) has(name string) bool {
	_, err := os.Lstat(g.path(name))
	return err == nil
}

// lacks says that name is certainly not there, and not that it cannot be read.
func (g guest) lacks(name string) bool {
	_, err := os.Stat(g.path(name))
	return errors.Is(err, fs.ErrNotExist)
}

// firstPIDNamespace is what the link to the PID namespace says that the kernel
// starts with: PROC_PID_INIT_INO (Linux: include/linux/proc_ns.h).
const firstPIDNamespace = "pid:[4026531836]"

// containerMarks are left by those who make containers: systemd as PID 1 of
// one, systemd-nspawn and who follows its Container Interface, podman, Docker.
var containerMarks = []string{"run/systemd/container", "run/host/container-manager", "run/.containerenv", ".dockerenv"}

func (g guest) container() error {
	evidence := ""
	if namespace, err := os.Readlink(g.path("proc/self/ns/pid")); err == nil && namespace != firstPIDNamespace {
		evidence = "its processes are in a PID namespace of their own"
	}
	for _, mark := range containerMarks {
		if g.has(mark) {
			evidence = "there is /" + mark
		}
	}
	if evidence == "" {
		return nil
	}
	return fmt.Errorf("this is a container (%s): drivers are loaded by the guest that it runs in", evidence)
}

func (g guest) noModuleSupport() error {
	if !g.lacks("proc/modules") {
		return nil
	}
	return errors.New("the kernel is built without modules (there is no /proc/modules): all its drivers are built in")
}

// modulesDisabled asks for kernel.modules_disabled; nomodule on the kernel's
// command line sets the same variable (Linux: kernel/module/main.c).
func (g guest) modulesDisabled() error {
	if text, err := os.ReadFile(g.path("proc/sys/kernel/modules_disabled")); err != nil || strings.TrimSpace(string(text)) != "1" {
		return nil
	}
	return errors.New("the kernel loads no more modules (kernel.modules_disabled is 1): " +
		"reboot without nomodule on its command line and without the sysctl")
}

func (g guest) noPCI() error {
	if _, err := sysfs.New(g.root).Devices(); !errors.Is(err, sysfs.ErrNoPCI) {
		return nil
	}
	return errors.New("there is no PCI bus (no /sys/bus/pci): no device can be passed through")
}

// foreignKernel goes by the folder of the kernel's modules, which its package
// brings. A kernel whose folder somebody else has put there is found out when
// the catalog is learned.
func (g guest) foreignKernel() error {
	if !g.lacks(filepath.Join("lib/modules", g.release)) {
		return nil
	}
	return fmt.Errorf("no installed package has the running kernel %[1]s (there is no /lib/modules/%[1]s): "+
		"its modules must come from where it came from; or reboot into a kernel that is installed", g.release)
}

func (g guest) imageMode() error {
	const way = "build a new image with the packages that the devices need (driverd explain)"
	if g.has("run/ostree-booted") {
		return fmt.Errorf("/usr is a part of an image (there is /run/ostree-booted), and no package can be installed: %s", way)
	}
	if g.readOnly("/usr") {
		return fmt.Errorf("/usr is on a file system that is read-only, and no package can be installed: %s", way)
	}
	return nil
}

// readOnly asks whether the file system that path is on is mounted read-only.
// It does not ask for the mount: that of the service is read-only, as systemd
// has made it so (ProtectSystem=).
func (g guest) readOnly(path string) bool {
	text, err := os.ReadFile(g.path("proc/self/mountinfo"))
	if err != nil {
		return false
	}
	found, options := "", ""
	for line := range strings.Lines(string(text)) {
		// proc_pid_mountinfo(5): the mount point is the fifth field; behind
		// " - " come type, source and the options of the file system.
		mount, system, _ := strings.Cut(line, " - ")
		fields, last := strings.Fields(mount), strings.Fields(system)
		if len(fields) < 5 || len(last) < 3 {
			continue
		}
		if point := fields[4]; (point == "/" || point == path) && len(point) >= len(found) {
			found, options = point, last[len(last)-1] // of two in one place, the later covers the other
		}
	}
	return slices.Contains(strings.Split(options, ","), "ro")
}
