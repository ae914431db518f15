// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	packaging "driverd/kernelsplit"
	"driverd/lab/repo"
	"driverd/lab/stage"
)

// rootfs is laid over the guest root: the lab's settings, as they lie there.
//
//go:embed rootfs
var rootfs embed.FS

//go:embed image.sh
var imageScript string

//go:embed init.sh
var initScript string

// initrdModules are what the kernel needs before it can read its disk.
var initrdModules = []string{"virtio_pci", "virtio_blk", "ext4"}

// Image is a guest's disk, and what to boot it with.
type Image struct {
	Disk    string // raw ext4, read-only for everybody: each boot writes to an overlay; empty if all is in the initrd
	Kernel  string
	Initrd  string
	Release string // the kernel's, as uname -r in the guest
	Repo    string // folder of the rpm-md repository that the guest uses

	arch Architecture

	like *Image // that it was made of, if its own initrd knows no lab.probe: where one runs under KVM, the other does
}

// Native says whether the programs of this machine run in the image's guest.
func (image *Image) Native() bool { return image.arch.native() }

// BuildImage makes the guest's disk from the root, the repository and driverd's
// RPM. The guest has kernel-core and kernel-modules-core installed, and driverd
// unless rpm is empty.
func BuildImage(ctx context.Context, rpm string) (*Image, error) {
	root, packages, kernel, err := ground(ctx)
	if err != nil {
		return nil, err
	}
	if rpm == "" {
		return buildImage(ctx, "", root, packages, kernel, "")
	}
	return buildImage(ctx, "", root, packages, kernel, "", rpm)
}

// BuildBaseImage makes the disk of a guest without driverd whose kernel is divided by the
// rules of the split alone, with nothing kept out of the base for the sake of tests.
func BuildBaseImage(ctx context.Context) (*Image, error) {
	root, err := Root(ctx)
	if err != nil {
		return nil, err
	}
	packages, kernel, err := baseRepo(ctx)
	if err != nil {
		return nil, err
	}
	return buildImage(ctx, "base-", root, packages, kernel, "")
}

// baseRepo returns the guest's kernel, and a repository of it that is divided by the rules
// of the split alone.
func baseRepo(ctx context.Context) (string, kernelFiles, error) {
	kernel, err := AMD64.files(ctx)
	if err != nil {
		return "", kernel, err
	}
	packed := repo.Kernel{ModulesDir: kernel.modules, Vmlinuz: kernel.vmlinuz, Config: kernel.config}
	packages, err := buildRepo(ctx, "base-repo", repo.Input{Kernels: []repo.Kernel{packed}})
	return packages, kernel, err
}

// Ground builds what an image is made of, but for driverd's package.
func Ground(ctx context.Context) error {
	_, _, _, err := ground(ctx)
	return err
}

// ground returns the root, the repository and the kernel of a guest. The first takes
// nothing of the others, and is built beside them.
func ground(ctx context.Context) (root, repo string, kernel kernelFiles, err error) {
	built := make(chan error, 1)
	go func() {
		var err error
		root, err = Root(ctx)
		built <- err
	}()
	repo, err = Repo(ctx)
	if err == nil {
		kernel, err = AMD64.files(ctx)
	}
	return root, repo, kernel, errors.Join(<-built, err)
}

// buildImage makes a disk and what to boot it with; prefix tells the stages of
// one kind of guest from those of another. The script finish runs in the guest's
// root at the end, with that root at /mnt too.
func buildImage(ctx context.Context, prefix, root, repo string, kernel kernelFiles, finish string, rpms ...string) (*Image, error) {
	boot, err := bootFiles(ctx, prefix+"boot", kernel, initrdModules)
	if err != nil {
		return nil, err
	}
	arch, other := kernel.arch, ""
	if !arch.native() {
		if other, err = rootFiles(ctx, prefix+"root-files", root, arch); err != nil {
			return nil, err
		}
	}

	// Both kinds of image are in use at once: each has its own stage.
	debian, err := stub(ctx, prefix+"stub", cmp.Or(other, root), arch)
	if err != nil {
		return nil, err
	}
	name, inputs := prefix+"image", []string{root, repo, debian, other, imageScript, finish}
	if len(rpms) == 0 {
		name = prefix + "bare-image"
	}
	for _, rpm := range rpms {
		sum, err := hashFiles(nil, rpm)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, sum)
	}
	scratch, err := os.MkdirTemp("", "driverd-lab-")
	if err != nil {
		return nil, fmt.Errorf("cannot unpack the guest's files: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	if err := os.CopyFS(scratch, rootfs); err != nil {
		return nil, fmt.Errorf("cannot unpack the guest's files: %w", err)
	}
	files, script := filepath.Join(scratch, "rootfs"), filepath.Join(scratch, "finish")
	if err := os.WriteFile(script, []byte(finish), 0o600); err != nil {
		return nil, fmt.Errorf("cannot leave the script that ends the image: %w", err)
	}
	sum, err := hashFiles(func(string) bool { return true }, files)
	if err != nil {
		return nil, err
	}

	capability := packaging.CapabilityVersion(kernel.release)
	dir, err := stage.Get(ctx, name, append(inputs, sum), func(ctx context.Context, dir string) error {
		if err := needRoot("guest image"); err != nil {
			return err
		}
		argv := []string{"sh", "-c", imageScript, "image.sh", root, repo, debian, capability, arch.RPM, other, files, script, filepath.Join(dir, "disk.raw")}
		return run(ctx, isolated(ctx, append(argv, rpms...)...))
	})
	if err != nil {
		return nil, err
	}
	return &Image{
		Disk:    filepath.Join(dir, "disk.raw"),
		Kernel:  filepath.Join(boot, "vmlinuz"),
		Initrd:  filepath.Join(boot, "initrd"),
		Release: kernel.release,
		Repo:    filepath.Join(repo, "repo"),
		arch:    arch,
	}, nil
}

// bootFiles returns a folder with the kernel and an initrd for it of these
// modules and what they need: under software emulation the stock one takes three times as long.
func bootFiles(ctx context.Context, name string, kernel kernelFiles, modules []string) (string, error) {
	inputs := append([]string{kernel.modules, initScript}, modules...)
	busybox, err := kernel.arch.busybox(ctx)
	if err != nil {
		return "", err
	}
	return stage.Get(ctx, name, inputs, func(ctx context.Context, dir string) error {
		if err := run(ctx, exec.CommandContext(ctx, "cp", kernel.vmlinuz, filepath.Join(dir, "vmlinuz"))); err != nil {
			return err
		}
		tree := filepath.Join(dir, "tree")
		for _, name := range []string{"bin", "dev", "proc", "root", "modules"} {
			if err := os.MkdirAll(filepath.Join(tree, name), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(tree, "init"), []byte(initScript), 0o755); err != nil {
			return err
		}
		if err := run(ctx, exec.CommandContext(ctx, "cp", busybox, filepath.Join(tree, "bin"))); err != nil {
			return err
		}
		if err := copyModules(ctx, kernel, modules, filepath.Join(tree, "modules")); err != nil {
			return err
		}
		pack := exec.CommandContext(ctx, "sh", "-c", "find . | cpio --quiet -o -H newc -R 0:0 >../initrd")
		pack.Dir = tree
		if err := run(ctx, pack); err != nil {
			return err
		}
		return os.RemoveAll(tree)
	})
}

// copyModules copies modules and what they depend on into dir, unpacked, with
// names that sort in the order of loading.
func copyModules(ctx context.Context, kernel kernelFiles, modules []string, dir string) error {
	root := strings.TrimSuffix(kernel.modules, filepath.Join("/usr/lib/modules", kernel.release))
	args := append([]string{"-d", root, "-S", kernel.release, "--show-depends", "-a"}, modules...)
	out, err := exec.CommandContext(ctx, "modprobe", args...).Output()
	if err != nil {
		return fmt.Errorf("cannot find the initrd's modules: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		// "insmod PATH options" or "builtin NAME": modprobe(8).
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "insmod" {
			continue
		}
		name, _, _ := strings.Cut(filepath.Base(fields[1]), ".ko")
		target := filepath.Join(dir, fmt.Sprintf("%02d-%s.ko", n, name))
		unpack := exec.CommandContext(ctx, "sh", "-c", `case $1 in *.xz) xz -dc "$1";; *.zst) zstd -dc "$1";; *) cat "$1";; esac >"$2"`, "sh", fields[1], target)
		if err := run(ctx, unpack); err != nil {
			return err
		}
		n++
	}
	return nil
}
