// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"driverd/lab/stage"
)

// software is what always works. The guest's processors take turns in one thread, or have
// one each: then QEMU 10 may go on running an instruction of an x86 kernel that another
// processor has just patched away (static keys, tracepoints), and the guest dies, most
// often of "Oops: int3".
func (a Architecture) software(parallel bool) []string {
	threads := "single"
	if parallel {
		threads = "multi"
	}
	return []string{"-accel", "tcg,thread=" + threads, "-cpu", a.cpu}
}

// hardware is what is faster where it works.
var hardware = []string{"-accel", "kvm", "-cpu", "host"}

// kernelArgs make a guest start quickly and stay quiet.
var kernelArgs = []string{
	"quiet", "panic=-1", "mitigations=off", "random.trust_cpu=on", "systemd.show_status=0",
}

// A guest has no policies of AppArmor and BPF to load and nothing to audit, or it has
// SELinux, and the kernel's log has every denial.
var (
	noPolicyArgs = []string{"audit=0", "lsm=lockdown,yama,landlock"}
	selinuxArgs  = []string{"lsm=lockdown,yama,landlock,selinux", "sysctl.kernel.printk_ratelimit=0"}
)

// acceleration returns QEMU's arguments for the fastest way that works here. A
// /dev/kvm may exist and still fail on the guest's first instructions (nested
// virtualization), so one guest is run to see; the verdict is kept for as long
// as kernel, processor and QEMU are the same.
func acceleration(ctx context.Context, o Options) ([]string, error) {
	arch := o.Image.arch
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err == nil {
		_ = kvm.Close()
	}
	if err != nil || !arch.native() {
		return arch.software(o.Parallel), nil
	}
	image := o.Image
	if image.like != nil {
		image = image.like
	}
	var host unix.Utsname
	if err := unix.Uname(&host); err != nil {
		return nil, fmt.Errorf("cannot read the kernel's name: %w", err)
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot read the processor's name: %w", err)
	}
	_, model, _ := strings.Cut(string(cpu), "model name")
	model, _, _ = strings.Cut(model, "\n")
	version, err := arch.qemuSays(ctx)
	if err != nil {
		return nil, err
	}
	inputs := append([]string{string(host.Release[:]), model, version}, hardware...)
	dir, err := stage.Get(ctx, "kvm-verdict", inputs, func(ctx context.Context, dir string) error {
		verdict := "no"
		if kvmRuns(ctx, image) {
			verdict = "yes"
		}
		stage.Say("does KVM run a guest here? %s", verdict)
		return errors.Join(ctx.Err(), os.WriteFile(filepath.Join(dir, verdict), nil, 0o644))
	})
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "yes")); err == nil {
		return hardware, nil
	}
	return arch.software(o.Parallel), nil
}

// qemuSays returns what QEMU says of its version.
func (a Architecture) qemuSays(ctx context.Context) (string, error) {
	version, err := exec.CommandContext(ctx, a.qemu, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("cannot run QEMU: %w", err)
	}
	return string(version), nil
}

// kvmRuns reports whether a guest under KVM comes as far as its initrd, which
// takes a second where it works.
func kvmRuns(ctx context.Context, image *Image) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	args := append([]string{"-machine", "q35", "-m", "512", "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio",
		"-kernel", image.Kernel, "-initrd", image.Initrd, "-append", "console=ttyS0 panic=-1 lab.probe"}, hardware...)
	cmd := exec.CommandContext(ctx, image.arch.qemu, args...)
	cmd.SysProcAttr = dieWithParent()
	out, err := cmd.Output()
	return err == nil && strings.Contains(string(out), "lab: guest runs")
}

// RepoURL is where a guest finds its package repository, whatever the port on the
// host: QEMU connects its user network's address to that, through a program. Nothing
// else of the host can be reached.
const RepoURL = "http://10.0.2.100/"

// network is QEMU's network, with the repository at a port of the host's loopback.
func network(port int) string {
	return fmt.Sprintf("user,id=net,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:/bin/busybox nc 127.0.0.1 %d", port)
}

// sockets are QEMU's in dir: two for QMP, and the one that leads to the guest's agent.
func sockets(dir string) []string {
	return []string{
		"-qmp", "unix:" + filepath.Join(dir, "qmp") + ",server=on,wait=off",
		"-qmp", "unix:" + filepath.Join(dir, "monitor") + ",server=on,wait=off",
		"-chardev", "socket,id=agent,server=on,wait=off,path=" + filepath.Join(dir, "agent"),
	}
}

// agentPort is the agent's port of a guest with a virtio serial controller.
const agentPort = "virtserialport,id=agent,chardev=agent,name=org.qemu.guest_agent.0"

// qemuArgs returns QEMU's arguments for a guest whose sockets, console and
// overlay are in dir, and whose repository is at a port of the host.
func qemuArgs(dir string, image *Image, s Start, devices []Device, accel []string, port int) ([]string, error) {
	m, arch := s.Machine, image.arch
	args := slices.Concat(accel, m.arguments(), []string{
		"-smp", strconv.Itoa(guestCPUs), "-m", "1024",
		"-nodefaults", "-nographic",
		"-kernel", image.Kernel,
	}, sockets(dir))
	policy := noPolicyArgs
	if s.SELinux {
		policy = selinuxArgs
	}
	words := slices.Concat([]string{"console=" + arch.serial}, kernelArgs, arch.words, policy, s.Words)
	if image.Initrd == "" {
		words = append(words, "root=/dev/vda", "rw", "console=hvc0")
	} else {
		args = append(args, "-initrd", image.Initrd)
	}
	if image.Disk == "" {
		words = append(words, "8250.nr_uarts=2") // the second is the agent's
	}
	if !s.Terminal {
		words = append(words, "systemd.mask=serial-getty@"+arch.serial+".service")
	}
	args = append(args, "-append", strings.Join(words, " "), "-netdev", network(port))
	args = append(args, m.virtio("rng", "0xb", "")...)
	if image.Disk == "" {
		args = append(args, m.console(dir, s.Terminal)...)
		args = append(args, "-device", "isa-serial,chardev=agent")
	} else {
		args = append(args, "-drive", "if=none,id=disk,format=qcow2,cache=unsafe,file="+filepath.Join(dir, "disk.qcow2"))
		args = append(args, m.virtio("blk", "0x8", ",drive=disk")...)
		args = append(args, m.virtio("serial", "0xa", "")...)
		args = append(args, m.console(dir, s.Terminal)...)
		args = append(args, "-device", agentPort)
	}
	if !s.NoNIC {
		properties := ",netdev=net"
		if m != MicroVM {
			properties += ",romfile=" // no firmware boots from it
		}
		args = append(args, m.virtio("net", "0x9", properties)...)
	}
	for _, d := range devices {
		device, ends := d.arguments()
		if d.Part != nil {
			text, err := json.Marshal(d.Part)
			if err != nil {
				return nil, fmt.Errorf("cannot describe what device %s consists of: %w", d.ID, err)
			}
			args = append(args, "-device", string(text))
		}
		for _, e := range ends {
			text, err := json.Marshal(e.made)
			if err != nil {
				return nil, fmt.Errorf("cannot describe what %s is connected to: %w", d.ID, err)
			}
			args = append(args, map[string]string{"netdev_add": "-netdev", "blockdev-add": "-blockdev"}[e.add], string(text))
		}
		if sound, ok := device["audiodev"].(string); ok { // which nobody hears
			args = append(args, "-audiodev", "none,id="+sound)
		}
		text, err := json.Marshal(device)
		if err != nil {
			return nil, fmt.Errorf("cannot describe device %s: %w", d.ID, err)
		}
		args = append(args, "-device", string(text))
	}
	return args, nil
}
