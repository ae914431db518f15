// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	_ "embed" // for the scripts
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"driverd/lab/stage"
)

// xenPackages are what dom0 is made of: the hypervisor, xl, and what a guest's hot-plug
// scripts use. Its kernel is the one that the lab's guests have.
var xenPackages = []string{
	"xen-system-amd64", "bridge-utils", "iproute2", "kmod", "qemu-guest-agent",
}

var (
	//go:embed xen-disk.sh
	xenDiskScript string
	//go:embed xen-dom0.sh
	dom0Script string
)

// dom0Modules are what dom0's kernel needs, all of it loaded by the initrd: its disk has no
// modules.
var dom0Modules = slices.Concat(initrdModules, []string{
	"virtio_net", "virtio_console", "bridge",
	"xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs",
	"xen-blkback", "xen-netback", "xen-pciback",
})

// xenImage is Xen, and the disk and the kernel of its dom0.
type xenImage struct {
	Image
	hypervisor string
}

// buildXen makes dom0 of Debian testing's Xen and the kernel of the lab's guests.
func buildXen(ctx context.Context) (*xenImage, error) {
	kernel, err := AMD64.files(ctx)
	if err != nil {
		return nil, err
	}
	boot, err := bootFiles(ctx, "xen-boot", kernel, dom0Modules)
	if err != nil {
		return nil, err
	}
	root, err := buildRoot(ctx, "xen-root", xenPackages...)
	if err != nil {
		return nil, err
	}
	dir, err := stage.Get(ctx, "xen", []string{root, xenDiskScript, dom0Script}, func(ctx context.Context, dir string) error {
		if err := needRoot("disk of dom0"); err != nil {
			return err
		}
		init := filepath.Join(dir, "init")
		if err := os.WriteFile(init, []byte(dom0Script), 0o644); err != nil {
			return err
		}
		if err := run(ctx, isolated(ctx, "sh", "-c", xenDiskScript, "xen-disk.sh", root, init, dir)); err != nil {
			return err
		}
		return os.Remove(init)
	})
	if err != nil {
		return nil, err
	}
	return &xenImage{
		hypervisor: filepath.Join(dir, "xen"),
		Image: Image{
			Disk:    filepath.Join(dir, "disk.raw"),
			Kernel:  filepath.Join(boot, "vmlinuz"),
			Initrd:  filepath.Join(boot, "initrd"),
			Release: kernel.release,
		},
	}, nil
}

// xenWords are Xen's command line. Its memory is divided once, at the start: dom0 has
// what is named here, and a domain has domainMemory of the rest.
const xenWords = "console=com1 com1=115200 dom0_mem=1024M,max:1024M dom0_max_vcpus=1 spec-ctrl=no"

// qemuArgs returns QEMU's arguments for a machine that runs Xen, with the disk of dom0 and
// that of a domain in dir, as /dev/vda and /dev/vdb of dom0.
//
// Always emulated: the processor and the IOMMU are what Xen gets along with there.
func (x *xenImage) qemuArgs(dir, initrd string, kind DomainKind, port int) []string {
	// QEMU takes the file and the command line of each module from one word, and parts
	// modules by commas.
	module := func(words ...string) string { return strings.ReplaceAll(strings.Join(words, " "), ",", ",,") }
	disk := func(name string) []string {
		drive := fmt.Sprintf("if=none,id=%s,format=qcow2,cache=unsafe,file=%s", name, filepath.Join(dir, name+".qcow2"))
		return []string{"-drive", drive, "-device", "virtio-blk-pci,drive=" + name}
	}
	return slices.Concat(
		[]string{"-accel", "tcg,thread=single"}, kind.processor(),
		Q35.arguments(),
		[]string{"-smp", "1", "-m", "3072", "-nodefaults", "-nographic", "-no-reboot"},
		[]string{"-kernel", x.hypervisor, "-append", xenWords},
		[]string{"-initrd", module(x.Kernel, "console=hvc0", "quiet", "panic=-1", "audit=0", "random.trust_cpu=on") + "," + module(initrd)},
		sockets(dir),
		disk("disk"), disk("domain"),
		[]string{"-device", "virtio-serial-pci", "-device", agentPort},
		[]string{"-netdev", network(port), "-device", "virtio-net-pci,netdev=net,romfile="},
		Q35.console(dir, false),
	)
}

// bootXen starts Xen, with a disk for a domain that differs from the given one by what is
// written to it, and returns dom0 when its agent answers. The files are laid over dom0's disk.
func bootXen(ctx context.Context, o Options, kind DomainKind, files func(dir string) (map[string]string, error)) (*Guest, error) {
	xen, err := buildXen(ctx)
	if err != nil {
		return nil, err
	}
	return start(ctx, o, Start{}, "boot Xen for", xen.Disk, func(g *Guest) error {
		if err := overlay(ctx, o.Image.Disk, filepath.Join(g.dir, "domain.qcow2")); err != nil {
			return err
		}
		laid, err := files(g.dir)
		if err != nil {
			return err
		}
		initrd, err := initrdWith(ctx, xen.Initrd, laid, "", g.dir)
		if err != nil {
			return err
		}
		g.args = func(context.Context, *Image) ([]string, error) { return xen.qemuArgs(g.dir, initrd, kind, g.port), nil }
		return g.power(ctx, &xen.Image, false)
	})
}
