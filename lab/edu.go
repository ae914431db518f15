// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	packaging "driverd/kernelsplit"
	"driverd/lab/rpmrepo"
	"driverd/lab/stage"
)

// eduSource is a driver from outside the kernel: for QEMU's edu device, which computes
// factorials.
//
//go:embed edu/edu.c
var eduSource string

// eduFactorial is what a user of it runs: it prints the factorial that the card computes.
const eduFactorial = `#!/bin/sh
exec 3<>/dev/edu
echo "$1" >&3
cat <&3
`

// EduModule returns the driver of the edu device, as a module of the guest's kernel. It is
// built against Debian's headers of that kernel, with this machine's compiler.
func EduModule(ctx context.Context) (string, error) {
	kernel, err := AMD64.files(ctx)
	if err != nil {
		return "", err
	}
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	dir, err := stage.Get(ctx, "edu", []string{kernel.modules, root, eduSource}, func(ctx context.Context, dir string) error {
		return buildEdu(ctx, kernel, root, dir)
	})
	return filepath.Join(dir, "edu.ko"), err
}

func buildEdu(ctx context.Context, kernel kernelFiles, root, dir string) (err error) {
	work, err := os.MkdirTemp("", "driverd-edu-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := fetchHeaders(ctx, kernel.release, work); err != nil {
		return err
	}
	base := strings.TrimSuffix(kernel.release, "-"+AMD64.Flavour)
	headers, kbuild := filepath.Join(work, "usr/src/linux-headers-"+kernel.release), filepath.Join(work, "usr/lib/linux-kbuild-"+base)
	// The package's makefile names the folders where they would be installed.
	makefile := fmt.Sprintf("KBUILD_OUTPUT=%s\ninclude %s/usr/src/linux-headers-%s-common/Makefile\n", headers, work, base)
	if err := os.WriteFile(filepath.Join(headers, "Makefile"), []byte(makefile), 0o644); err != nil {
		return err
	}
	// Its programs are of a newer libc than this machine's: they run on that of the guest.
	for program, real := range map[string]string{"tools/objtool/objtool": "objtool.real-x86", "scripts/mod/modpost": "modpost.real-lsb-64"} {
		program = filepath.Join(kbuild, program)
		script := fmt.Sprintf("#!/bin/sh\nexec %s --library-path %s %s \"$@\"\n", filepath.Join(root, "usr/lib64/ld-linux-x86-64.so.2"),
			filepath.Join(root, "usr/lib/x86_64-linux-gnu"), filepath.Join(filepath.Dir(program), real))
		if err := os.Remove(program); err != nil {
			return err
		}
		if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
			return err
		}
	}
	source := filepath.Join(work, "edu")
	if err := os.Mkdir(source, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{"edu.c": eduSource, "Makefile": "obj-m := edu.o\n"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	// Debian's compiler knows options that this machine's need not.
	build := exec.CommandContext(ctx, "make", "-C", headers, "M="+source, "CC=gcc", "HOSTCC=gcc", "KCFLAGS=-w",
		"CONFIG_DEBUG_INFO_BTF_MODULES=", "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=", "modules")
	if err := run(ctx, build); err != nil {
		return err
	}
	module, err := os.ReadFile(filepath.Join(source, "edu.ko"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "edu.ko"), module, 0o644)
}

// fetchHeaders fetches what modules of a kernel of Debian's are built against, and unpacks it.
func fetchHeaders(ctx context.Context, release, dir string) error {
	debian, err := openArchive(ctx, AMD64.Suite, AMD64.arch())
	if err != nil {
		return err
	}
	defer debian.close()
	base := strings.TrimSuffix(release, "-"+AMD64.Flavour)
	debs, err := debian.download(ctx, dir, "linux-headers-"+release, "linux-headers-"+base+"-common", "linux-kbuild-"+base)
	if err != nil {
		return fmt.Errorf("cannot fetch the headers of kernel %s, which Debian may have replaced since the lab fetched it: %w", release, err)
	}
	return unpackDebs(ctx, debs, dir)
}

// EduKmod is the driver, packed for a kernel with this release. It is the running kernel's module
// for each: what is packed for another one is never loaded.
func EduKmod(ctx context.Context, release string) (rpmrepo.Package, error) {
	module, err := EduModule(ctx)
	if err != nil {
		return rpmrepo.Package{}, err
	}
	text, err := os.ReadFile(module)
	if err != nil {
		return rpmrepo.Package{}, err
	}
	capability := packaging.CapabilityVersion(release)
	return rpmrepo.Package{
		Name: "kmod-edu-" + capability, Version: "1", Release: "1", Vendor: "driverd lab", PayloadBytes: 64,
		Provides: []string{"kmod(edu.ko)", "modalias(pci:v00001234d000011E8sv*sd*bc*sc*i*)", "installonlypkg(kernel-module)"},
		Requires: []string{"kernel-uname-r = " + capability},
		Files:    map[string][]byte{"/lib/modules/" + release + "/extra/edu.ko": text},
		Post:     fmt.Sprintf(`os.execute("/usr/sbin/depmod -a %s")`, release),
	}, nil
}

// EduFactorial is the package of what uses it.
func EduFactorial() rpmrepo.Package {
	return rpmrepo.Package{
		Name: "edu-factorial", Version: "1", Release: "1", Vendor: "driverd lab", PayloadBytes: 64,
		Files: map[string][]byte{"/usr/bin/edu-factorial": []byte(eduFactorial)},
		Post:  `posix.chmod("/usr/bin/edu-factorial", "rwxr-xr-x")`,
	}
}
