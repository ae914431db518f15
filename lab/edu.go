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
	"driverd/lab/repo"
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

// eduModule returns the driver of the edu device, as a module of one of Debian's kernels that
// says that it was built for this release. It is built against Debian's headers of the kernel,
// with this machine's compiler.
func eduModule(ctx context.Context, k DebianKernel, release string) (string, error) {
	headers, err := k.headers(ctx)
	if err != nil {
		return "", err
	}
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	dir, err := stage.Get(ctx, "edu-"+k.Suite, []string{headers, root, release, eduSource}, func(ctx context.Context, dir string) error {
		return buildEdu(ctx, k, headers, root, release, dir)
	})
	return filepath.Join(dir, "edu.ko"), err
}

func buildEdu(ctx context.Context, k DebianKernel, headers, root, release, dir string) error {
	work, err := os.MkdirTemp("", "driverd-edu-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := run(ctx, exec.CommandContext(ctx, "cp", "-a", filepath.Join(headers, "../.."), work)); err != nil {
		return err
	}
	headers = filepath.Join(work, "usr/src", filepath.Base(headers))
	source := filepath.Join(work, "edu")
	if err := os.Mkdir(source, 0o755); err != nil {
		return err
	}
	files := map[string]string{
		filepath.Join(source, "edu.c"):    eduSource,
		filepath.Join(source, "Makefile"): "obj-m := edu.o\n",
		// The package's makefile names the folders where they would be installed.
		filepath.Join(headers, "Makefile"):                       fmt.Sprintf("KBUILD_OUTPUT=%s\ninclude %scommon/Makefile\n", headers, strings.TrimSuffix(headers, k.Flavour)),
		filepath.Join(headers, "include/generated/utsrelease.h"): fmt.Sprintf("#define UTS_RELEASE %q\n", release),
	}
	if k.Suite == "testing" {
		// Its programs are of a newer libc than this machine's: they run on that of the guest.
		for program, real := range map[string]string{"tools/objtool/objtool": "objtool.real-x86", "scripts/mod/modpost": "modpost.real-lsb-64"} {
			program = filepath.Join(headers, program)
			files[program] = fmt.Sprintf("#!/bin/sh\nexec %s --library-path %s %s \"$@\"\n", filepath.Join(root, "usr/lib64/ld-linux-x86-64.so.2"),
				filepath.Join(root, "usr/lib/x86_64-linux-gnu"), filepath.Join(filepath.Dir(program), real))
		}
	}
	for file, text := range files {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil { // what runs stays so
			return err
		}
	}
	// Debian's compiler knows options that this machine's need not.
	build := exec.CommandContext(ctx, "make", "-C", headers, "M="+source, "CC=gcc", "HOSTCC=gcc", "KCFLAGS=-w",
		"CONFIG_DEBUG_INFO_BTF_MODULES=", "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT=", "modules")
	if err := run(ctx, build); err != nil {
		return err
	}
	return run(ctx, exec.CommandContext(ctx, "cp", filepath.Join(source, "edu.ko"), dir))
}

// EduKmod is the driver, packed for the kernel with this release alone. It is the running kernel's
// module for each: what is packed for another one is never loaded.
func EduKmod(ctx context.Context, release string) (rpmrepo.Package, error) {
	kernel, err := AMD64.files(ctx)
	if err != nil {
		return rpmrepo.Package{}, err
	}
	module, err := eduModule(ctx, AMD64, kernel.release)
	if err != nil {
		return rpmrepo.Package{}, err
	}
	capability := packaging.CapabilityVersion(release)
	p, err := packEdu("kmod-edu-"+capability, module, release)
	p.Requires = []string{"kernel-uname-r = " + capability}
	p.Post = fmt.Sprintf(`os.execute("/usr/sbin/depmod -a %s")`, release)
	return p, err
}

// EduKmodBySymbols is the driver as EL packs one, and the release of the kernel that it is built
// for, another build of the old one: it requires the symbols that it imports, of whatever kernel.
// When it is installed, the old kernel's folder gets a link to it, as weak-modules makes one.
func EduKmodBySymbols(ctx context.Context) (p rpmrepo.Package, release string, err error) {
	kernel, err := Old.files(ctx)
	if err != nil {
		return p, "", err
	}
	upstream, _, _ := strings.Cut(kernel.release, "-")
	release = upstream + "-1-" + Old.Flavour
	module, err := eduModule(ctx, Old, release)
	if err != nil {
		return p, "", err
	}
	if p, err = packEdu("kmod-edu", module, release); err != nil {
		return p, "", err
	}
	imports, err := exec.CommandContext(ctx, "modprobe", "--dump-modversions", module).Output()
	if err != nil {
		return p, "", fmt.Errorf("cannot list the symbols that %s imports: %w", module, err)
	}
	p.Provides = append(p.Provides, "kernel-modules >= "+packaging.CapabilityVersion(release))
	p.Requires = repo.SymbolCapabilities(string(imports))
	p.Post = fmt.Sprintf(`os.execute("mkdir -p %[1]s && ln -sf %[2]s %[1]s && /usr/sbin/depmod -a %[3]s")`,
		"/lib/modules/"+kernel.release+"/weak-updates", "/lib/modules/"+release+"/extra/edu.ko", kernel.release)
	return p, release, nil
}

// packEdu packs the driver as a module of the kernel with this release.
func packEdu(name, module, release string) (rpmrepo.Package, error) {
	text, err := os.ReadFile(module)
	return rpmrepo.Package{
		Name: name, Version: "1", Release: "1", Vendor: "driverd lab", PayloadBytes: 64,
		Provides: []string{"kmod(edu.ko)", "modalias(pci:v00001234d000011E8sv*sd*bc*sc*i*)", "installonlypkg(kernel-module)"},
		Files:    map[string][]byte{"/lib/modules/" + release + "/extra/edu.ko": text},
	}, err
}

// EduFactorial is the package of what uses it.
func EduFactorial() rpmrepo.Package {
	return rpmrepo.Package{
		Name: "edu-factorial", Version: "1", Release: "1", Vendor: "driverd lab", PayloadBytes: 64,
		Files: map[string][]byte{"/usr/bin/edu-factorial": []byte(eduFactorial)},
		Post:  `posix.chmod("/usr/bin/edu-factorial", "rwxr-xr-x")`,
	}
}
