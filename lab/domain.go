// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"driverd/hwdetect"
)

// DomainKind says how a guest of Xen is virtualized.
type DomainKind string

// The kinds that need no QEMU in dom0.
const (
	PV  DomainKind = "pv"  // its kernel knows Xen alone; dom0 can give it PCI devices
	PVH DomainKind = "pvh" // the processor virtualizes it; libxl passes no PCI device through to it
)

// processor returns QEMU's arguments for what Xen needs for such a domain. To give away
// devices it needs an IOMMU. For PVH it needs SVM, which QEMU emulates for AMD's
// processors.
func (k DomainKind) processor() []string {
	if k == PVH {
		return []string{"-cpu", "Opteron_G3,+svm,+npt,+nrip-save"}
	}
	return []string{"-cpu", "Westmere", "-device", "intel-iommu,intremap=on,aw-bits=48"}
}

// config is the domain's for xl (xl.cfg(5)).
func (k DomainKind) config() string {
	config := []string{
		`name = "` + domainName + `"`,
		`type = "` + string(k) + `"`,
		`kernel = "/domain/vmlinuz"`,
		`ramdisk = "/domain/initrd"`,
		`extra = "` + strings.Join(slices.Concat(domainWords, noPolicyArgs), " ") + `"`,
		`memory = 1024`,
		`vcpus = 1`,
		`disk = ["format=raw,vdev=xvda,access=rw,target=/dev/vdb"]`,
		`vif = ["bridge=xenbr0"]`,
	}
	if k == PVH {
		config = append(config, `tsc_mode = "native"`)
	} else {
		config = append(config, `passthrough = "enabled"`, `e820_host = 1`)
	}
	return strings.Join(config, "\n") + "\n"
}

const domainName = "guest"

// domainModules are what a domain's kernel needs before it can read its disk, and two that
// udev would load: xen-netfront, for which the lab's guests do not trigger it at the start,
// and xen-pcifront, when the first card comes. While that module sets the card's bus up,
// Linux 7.2 may take the new state for a reset ("state reset occurred, reconnecting"), and
// no card ever appears. A driver that is there already is called by the thread that looks
// for resets.
var domainModules = []string{"xen-blkfront", "xen-netfront", "xen-pcifront", "ext4"}

// domainWords are the command line of a domain's kernel.
var domainWords = []string{
	"root=/dev/xvda", "console=hvc0", "quiet", "panic=-1", "mitigations=off", "iommu=soft",
	"random.trust_cpu=on", "systemd.show_status=0",
	"systemd.mask=serial-getty@hvc0.service", "systemd.wants=lab-agent.socket",
}

// domainAgentPort is the TCP port of a domain's agent: there is no virtio in a domain.
const domainAgentPort = 9000

// domainFiles are laid over a domain's disk: its network card has the address that the
// others' has, and its agent, which cannot listen to TCP, has something that can.
var domainFiles = map[string]string{
	"etc/udev/rules.d/71-lab-xen.rules": `ACTION=="add", SUBSYSTEM=="net", DRIVERS=="vif", NAME="lab0", RUN+="/usr/sbin/ip address add 10.0.2.15/24 dev lab0", RUN+="/usr/sbin/ip link set lab0 up"
`,
	"etc/systemd/system/lab-agent.socket": fmt.Sprintf("[Socket]\nListenStream=%d\n", domainAgentPort),
	"etc/systemd/system/lab-agent.service": `[Unit]
Wants=lab-qemu-ga.service
After=lab-qemu-ga.service

[Service]
ExecStart=/usr/lib/systemd/systemd-socket-proxyd /run/lab-qemu-ga
`,
	"etc/systemd/system/lab-qemu-ga.service": `[Service]
ExecStart=/usr/sbin/qemu-ga --method=unix-listen --path=/run/lab-qemu-ga
LogLevelMax=warning
`,
}

// Domain is a guest of Xen. Its methods may be called from several goroutines, but those
// that give it devices and take them.
type Domain struct {
	System
	dom0 *Guest
}

// BootDomain boots Xen with a dom0, and in it a guest on a fresh overlay of its image's disk.
// It returns when that guest's agent answers, about two minutes later. Close ends all
// of it.
func BootDomain(ctx context.Context, o Options, kind DomainKind) (_ *Domain, err error) {
	kernel, err := AMD64.files(ctx)
	if err != nil {
		return nil, err
	}
	if o.Image.Release != kernel.release {
		return nil, fmt.Errorf("cannot boot a guest of Xen: its kernel is %s, and the initrd is for %s", o.Image.Release, kernel.release)
	}
	boot, err := bootFiles(ctx, "domain-boot", kernel, domainModules)
	if err != nil {
		return nil, err
	}
	dom0, err := bootXen(ctx, o, kind, func(dir string) (map[string]string, error) {
		return domainIn(ctx, filepath.Join(dir, "domain"), boot, o.Program, kind)
	})
	if err != nil {
		return nil, err
	}
	d := &Domain{dom0: dom0}
	defer func() {
		if err != nil {
			said, _ := dom0.Output(context.WithoutCancel(ctx), domainConsole)
			err = fmt.Errorf("cannot boot a guest of Xen: %w; its console: %s", errors.Join(err, dom0.Close()), tail([]byte(said)))
		}
	}()
	if _, err := dom0.Output(ctx, "xl create /domain/config"); err != nil {
		return nil, err
	}
	address, err := dom0.Forward(ctx, domainAgentPort)
	if err != nil {
		return nil, err
	}
	d.System = System{&agent{network: "tcp", address: address}}
	return d, d.agent.await(ctx)
}

// domainConsole prints, in dom0, what a domain said on its console.
const domainConsole = "cat /var/log/xen/console/guest-" + domainName + ".log"

// domainIn returns what dom0 needs of a domain, as files of dom0. It works in dir.
func domainIn(ctx context.Context, dir, boot, program string, kind DomainKind) (map[string]string, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	initrd, err := initrdWith(ctx, filepath.Join(boot, "initrd"), domainFiles, program, dir)
	if err != nil {
		return nil, err
	}
	files := map[string]string{"domain/config": kind.config()}
	for name, file := range map[string]string{"domain/vmlinuz": filepath.Join(boot, "vmlinuz"), "domain/initrd": initrd} {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		files[name] = string(text)
	}
	return files, nil
}

// Plug puts a device into the machine, and has dom0 keep it for domains. It returns the
// device's slot in dom0, by which Attach and Detach know it.
func (d *Domain) Plug(ctx context.Context, device Device) (hwdetect.Slot, error) {
	slot, err := d.dom0.Plug(ctx, device)
	if err != nil {
		return slot, err
	}
	if _, err := d.dom0.Until(ctx, "test -e /sys/bus/pci/devices/"+slot.String()); err != nil {
		return slot, fmt.Errorf("dom0 does not see %s: %w", device.ID, err)
	}
	_, err = d.dom0.Output(ctx, "xl pci-assignable-add "+slot.String())
	return slot, err
}

// Attach gives the domain a device, and returns the slot that it has there.
func (d *Domain) Attach(ctx context.Context, inDom0 hwdetect.Slot) (slot hwdetect.Slot, err error) {
	const list = "ls /sys/bus/pci/devices"
	before, err := d.Output(ctx, list)
	if err != nil {
		return slot, err
	}
	if err := d.xl(ctx, "pci-attach", inDom0); err != nil {
		return slot, err
	}
	more, err := d.Until(ctx, list+" | grep -vxF -e '"+strings.ReplaceAll(strings.TrimSpace(before), "\n", "' -e '")+"'")
	if err != nil {
		return slot, fmt.Errorf("the domain does not see %s of dom0: %w", inDom0, err)
	}
	return hwdetect.ParseSlot(strings.TrimSpace(more))
}

// Detach takes a device from the domain, which dom0 keeps.
func (d *Domain) Detach(ctx context.Context, inDom0 hwdetect.Slot) error {
	return d.xl(ctx, "pci-detach", inDom0)
}

// xl has dom0 do something with the domain and a device. What xl warns of then means nothing
// (xc_physdev_unmap_pirq, irq_permission): its exit code tells.
func (d *Domain) xl(ctx context.Context, command string, inDom0 hwdetect.Slot) error {
	_, err := d.dom0.Output(ctx, strings.Join([]string{"xl", command, domainName, inDom0.String()}, " "))
	return err
}

// dom0Evidence is what Collect asks dom0 for.
var dom0Evidence = map[string]string{
	"console": domainConsole,
	"dom0":    "xl list; xl pci-list " + domainName + "; xl pci-assignable-list; lspci -nnk -D; dmesg; tail -n 50 /var/log/xen/*.log",
}

// Collect saves what a failure is understood by into dir, like a Guest's, and what dom0 and
// Xen have to say.
func (d *Domain) Collect(dir string) error {
	c := collection{dir: dir}
	c.qemu(d.dom0, "xen-")
	c.ask(d.dom0.System, dom0Evidence)
	c.ask(d.System, evidence)
	return c.close()
}

// Close ends the domain and Xen at once and removes what belonged to them.
func (d *Domain) Close() error {
	d.agent.close()
	return d.dom0.Close()
}
