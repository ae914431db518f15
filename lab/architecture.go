// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"path/filepath"

	"driverd/lab/stage"
)

// Architecture is a processor's, of the lab's guests or of what is built here for other
// machines.
type Architecture struct {
	Go     string   // as GOARCH names it
	RPM    string   // as RPM names it
	Runner []string // what runs its programs here, none if this machine's processor does
	debian string   // as Debian names it
	triple string   // begins the name of its compiler, and of the folder of its libc
	Loader string   // of its programs, in that folder
	udev   string   // where Debian has its libudev

	// How QEMU emulates a guest of it.
	qemu     string   // the program
	packages []string // that have the program, beside those of every guest
	cpu      string   // the processor
	serial   string   // the serial port, as the kernel names it
	words    []string // more of the kernel's command line
	lacks    string   // a source package that Debian does not build for it: its guests emulate what Native has
}

// pcWords are of a PC: it has fewer devices; and on a busy machine the kernel finds that the timer
// does not tick.
var pcWords = []string{"tsc=unstable", "8250.nr_uarts=1", "no_timer_check"}

// The architectures. Native is that of this machine, and of every guest that does not say
// otherwise. An older x86 processor is emulated faster than one with wide vectors, which
// the guest's libc would use.
var (
	Native = Architecture{
		Go: "amd64", RPM: "x86_64", debian: "amd64",
		qemu: "qemu-system-x86_64", cpu: "Nehalem", serial: "ttyS0", words: pcWords,
	}
	I386 = Architecture{
		Go: "386", RPM: "i686", debian: "i386",
		triple: "i686-linux-gnu", Loader: "ld-linux.so.2", udev: "usr/lib/i386-linux-gnu",
		qemu: "qemu-system-i386", cpu: "coreduo", serial: "ttyS0", words: pcWords,
		lacks: "dnf5",
	}
	AArch64 = Architecture{
		Go: "arm64", RPM: "aarch64", Runner: []string{"qemu-aarch64"}, debian: "arm64",
		triple: "aarch64-linux-gnu", Loader: "ld-linux-aarch64.so.1", udev: "usr/lib/aarch64-linux-gnu",
		qemu: "qemu-system-aarch64", packages: []string{"qemu-system-arm/bookworm-backports"}, cpu: "cortex-a72", serial: "ttyAMA0",
	}
)

// native says whether this machine's processor runs it, and its guests can have KVM.
func (a Architecture) native() bool { return a.Go == Native.Go }

// busybox returns a statically linked busybox.
func (a Architecture) busybox(ctx context.Context) (string, error) {
	if a.native() {
		return "/bin/busybox", nil
	}
	dir, err := stage.Get(ctx, "busybox-"+a.debian, []string{"bookworm"}, func(ctx context.Context, dir string) error {
		return a.unpack(ctx, dir, "bookworm", "busybox-static")
	})
	return filepath.Join(dir, "bin/busybox"), err
}

// unpack fetches packages of Debian's for the architecture and unpacks them into dir.
func (a Architecture) unpack(ctx context.Context, dir, suite string, packages ...string) error {
	debian, err := openArchive(ctx, suite, a.debian)
	if err != nil {
		return err
	}
	defer debian.close()
	return debian.unpack(ctx, dir, packages...)
}
