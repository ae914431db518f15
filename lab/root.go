// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"driverd/lab/repo"
	"driverd/lab/stage"
)

// rootPackages are what a guest is made of; the rest comes by dependency. The kernel
// is not among them: it comes from the package repository, as much of it as is base.
var rootPackages = []string{
	"systemd", "systemd-sysv", "udev", "dbus", "polkitd", "kmod",
	"dnf5", "dnf5-server", "rpm", "qemu-guest-agent",
	"iproute2", "pci.ids", "pciutils",
	"iptables", "nftables", "systemd-container", // what a container runs on
}

// rootArgs are mmdebstrap's arguments for a root of packages, the target apart.
func rootArgs(packages ...string) []string {
	return []string{
		"--mode=root", "--variant=minbase",
		`--aptopt=Acquire::Check-Valid-Until "false"`,
		`--aptopt=APT::Install-Recommends "false"`,
		"--dpkgopt=force-unsafe-io",
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		"--include=" + strings.Join(packages, ","),
	}
}

// Root returns the folder of the guest root: Debian testing without a kernel, as
// mmdebstrap leaves it. It belongs to the cache: read it, mount it
// under an overlay, never write to it.
func Root(ctx context.Context) (string, error) {
	return buildRoot(ctx, "root", rootPackages...)
}

// buildRoot builds a root of packages in a stage of the given name.
func buildRoot(ctx context.Context, name string, packages ...string) (string, error) {
	args := rootArgs(packages...)
	return stage.Get(ctx, name, args, func(ctx context.Context, dir string) error {
		if err := needRoot("guest root"); err != nil {
			return err
		}
		argv := append(append([]string{"mmdebstrap"}, args...),
			"--format=directory", "testing", dir, "deb "+debianMirror+" testing main")
		return fetched(run(ctx, isolated(ctx, argv...)))
	})
}

// rootFiles returns a folder with the files of a root's packages as Debian has them for
// another architecture, in a stage of the given name. Nothing of that architecture runs
// for it: what the packages' scripts do lies in the root and does not depend on it. Where
// Debian lacks packages, there is an emulator for those of the root.
func rootFiles(ctx context.Context, name, root string, arch Architecture) (string, error) {
	return stage.Get(ctx, name, []string{root, arch.debian}, func(ctx context.Context, dir string) error {
		if err := needRoot("guest root"); err != nil {
			return err
		}
		list := exec.CommandContext(ctx, "dpkg-query", "--admindir", filepath.Join(root, "var/lib/dpkg"), "-W", "-f", "${source:Package} ${Package}\n")
		out, err := list.Output()
		if err != nil {
			return fmt.Errorf("cannot list the packages of %s: %w", root, err)
		}
		var packages []string
		for line := range strings.Lines(string(out)) {
			if source, name, _ := strings.Cut(strings.TrimSpace(line), " "); source != arch.lacks {
				packages = append(packages, name)
			}
		}
		if err := arch.unpack(ctx, dir, "testing", packages...); err != nil {
			return err
		}
		var errs []error
		if arch.lacks != "" {
			errs = append(errs, arch.emulator(ctx, dir))
		}
		for _, excluded := range []string{"doc", "man", "locale"} { // as in rootArgs
			errs = append(errs, os.RemoveAll(filepath.Join(dir, "usr/share", excluded)))
		}
		return errors.Join(errs...)
	})
}

// emulator puts what runs this machine's programs in a guest of the architecture into dir:
// QEMU of bookworm, as later ones do not emulate 64 bits on 32.
func (a Architecture) emulator(ctx context.Context, dir string) error {
	all, program := filepath.Join(dir, "emulators"), "usr/bin/qemu-"+Native.RPM+"-static"
	if err := os.Mkdir(all, 0o755); err != nil {
		return err
	}
	if err := a.unpack(ctx, all, "bookworm", "qemu-user-static"); err != nil {
		return err
	}
	return errors.Join(os.Rename(filepath.Join(all, program), filepath.Join(dir, program)), os.RemoveAll(all))
}

// Repo returns the folder of the package repository made of Debian testing's kernel:
// repo/ is the rpm-md repository, key.asc the public key that signed its
// packages.
func Repo(ctx context.Context) (string, error) {
	kernel, err := AMD64.files(ctx)
	if err != nil {
		return "", err
	}
	packed, err := kernel.packed()
	if err != nil {
		return "", err
	}
	return buildRepo(ctx, "repo", repo.Input{Kernels: []repo.Kernel{packed}, Newer: true})
}

// DracutRepo returns the folder of a repository like Repo's, with less hardware, of
// which each package has dracut make an initrd when it is installed.
func DracutRepo(ctx context.Context) (string, error) {
	kernel, err := AMD64.files(ctx)
	if err != nil {
		return "", err
	}
	packed, err := kernel.packed()
	if err != nil {
		return "", err
	}
	packed.Hardware, packed.Dracut = leanHardware, true
	return buildRepo(ctx, "dracut-repo", repo.Input{Kernels: []repo.Kernel{packed}})
}

// buildRepo builds a repository in a stage of the given name.
func buildRepo(ctx context.Context, name string, in repo.Input) (string, error) {
	checkout, err := Checkout()
	if err != nil {
		return "", err
	}
	// What the repository is made by is an input like what it is made of.
	var inputs []string
	for _, dir := range []string{"kernelbuild", "kernelsplit", "lab/repo", "lab/rpmrepo", "lab/fedora.rules", "lab/guest.rules"} {
		sum, err := hashFiles(isShippedCode, filepath.Join(checkout, dir))
		if err != nil {
			return "", err
		}
		inputs = append(inputs, sum)
	}
	for _, k := range in.Kernels {
		inputs = append(inputs, k.ModulesDir, k.Symvers, fmt.Sprint(k.Unsplit, k.Hardware, k.NoAliases, k.Dracut))
	}
	return stage.Get(ctx, name, inputs, func(ctx context.Context, dir string) error {
		return repo.Build(ctx, in, dir)
	})
}

func isShippedCode(path string) bool {
	return !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".md") && !strings.Contains(path, "/testdata/")
}

// kernelFiles is where one kernel lies in a root.
type kernelFiles struct {
	release, modules, vmlinuz, config string
	variant                           string // as its packages' names have it, empty for none
	arch                              Architecture
}

// packed is the kernel as a repository for guests is made of it.
func (k kernelFiles) packed() (repo.Kernel, error) {
	rules, err := GuestRules()
	return repo.Kernel{ModulesDir: k.modules, Vmlinuz: k.vmlinuz, Config: k.config, Arch: k.arch.RPM, Variant: k.variant, Rules: rules}, err
}

// stub returns the package that speaks for Debian's in a root of an architecture.
func stub(ctx context.Context, name, root string, arch Architecture) (string, error) {
	dir, err := stage.Get(ctx, name, []string{root, arch.RPM}, func(ctx context.Context, dir string) error {
		return repo.Stub(ctx, root, arch.RPM, dir)
	})
	if err != nil {
		return "", err
	}
	rpms, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil || len(rpms) != 1 {
		return "", fmt.Errorf("cannot find the package in %s: found %d", dir, len(rpms))
	}
	return rpms[0], nil
}

// rootKernel finds the one kernel of a root.
func rootKernel(root string) (kernelFiles, error) {
	found, err := filepath.Glob(filepath.Join(root, "usr", "lib", "modules", "*"))
	if err != nil || len(found) != 1 {
		return kernelFiles{}, fmt.Errorf("cannot find the kernel of %s: want one folder in usr/lib/modules, found %d", root, len(found))
	}
	k := kernelFiles{release: filepath.Base(found[0]), modules: found[0]}
	k.vmlinuz, k.config = k.file(root, "vmlinuz"), k.file(root, "config")
	return k, nil
}

// file is where a file of the kernel lies: newer packages have it beside the modules.
func (k kernelFiles) file(root, name string) string {
	beside := filepath.Join(k.modules, name)
	if _, err := os.Stat(beside); err == nil {
		return beside
	}
	return filepath.Join(root, "boot", name+"-"+k.release)
}

// Checkout returns the top folder of driverd's source tree, which is the
// working folder or above it.
func Checkout() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	mod := strings.TrimSpace(string(out))
	if err != nil || mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("cannot find driverd's source tree: run this inside it (%w)", err)
	}
	return filepath.Dir(mod), nil
}
