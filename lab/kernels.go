// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"driverd/kernelsplit"
	"driverd/lab/stage"
)

// DebianKernel names one of Debian's kernels.
type DebianKernel struct {
	Suite   string // "testing", "bookworm"
	Flavour string // what its package is called after "linux-image-"
}

// The kernels that the split is tried on. Old is of the guest's architecture
// and years behind its own kernel: what an upgrade starts from.
var (
	AMD64 = DebianKernel{"testing", "amd64"}
	ARM64 = DebianKernel{"testing", "arm64"}
	I686  = DebianKernel{"bookworm", "686"} // testing has no 32-bit kernel any more
	Cloud = DebianKernel{"testing", "cloud-amd64"}
	Old   = DebianKernel{"bookworm", "amd64"}
)

// Indexed are the kernels that the index of modules is made of which driverd ships.
var Indexed = []DebianKernel{AMD64, ARM64, I686, Old}

// SplitKernels are those that the split has to be right for.
func SplitKernels() []DebianKernel {
	return []DebianKernel{AMD64, ARM64, {"trixie", "amd64"}, {"trixie", "arm64"}, Old, {"bookworm", "arm64"}, I686}
}

// architecture is the kernel's.
func (k DebianKernel) architecture() Architecture {
	switch k.Flavour {
	case "arm64":
		return AArch64
	case "686":
		return I386
	default:
		return Native
	}
}

// Modules returns the kernel's module tree after depmod, as ReadTree of
// kernelsplit takes it. It needs the network once, and no root.
func (k DebianKernel) Modules(ctx context.Context) (string, error) {
	files, err := k.files(ctx)
	return files.modules, err
}

// Tree reads the kernel's module tree.
func (k DebianKernel) Tree(ctx context.Context) (*kernelsplit.Tree, error) {
	dir, err := k.Modules(ctx)
	if err != nil {
		return nil, err
	}
	return kernelsplit.ReadTree(ctx, dir)
}

// files fetches the kernel's packages and unpacks them. They are never
// installed: their scripts do not run.
func (k DebianKernel) files(ctx context.Context) (kernelFiles, error) {
	dir, err := stage.Get(ctx, "kernel-"+k.Suite+"-"+k.Flavour, []string{k.Suite, k.Flavour}, func(ctx context.Context, dir string) error {
		debs, err := k.download(ctx, dir)
		if err != nil {
			return err
		}
		if err := unpackDebs(ctx, debs, dir); err != nil {
			return err
		}
		return k.settle(ctx, dir)
	})
	if err != nil {
		return kernelFiles{}, err
	}
	files, err := rootKernel(dir)
	files.arch = k.architecture()
	return files, err
}

// download downloads the kernel's packages into dir.
func (k DebianKernel) download(ctx context.Context, dir string) ([]string, error) {
	debian, err := openArchive(ctx, k.Suite, k.architecture().debian)
	if err != nil {
		return nil, err
	}
	defer debian.close()
	out, err := debian.apt(ctx, "apt-cache", "--no-recommends", "--no-suggests", "--recurse", "depends", "linux-image-"+k.Flavour).Output()
	if err != nil {
		return nil, fmt.Errorf("cannot find Debian's linux-image-%s: %w", k.Flavour, err)
	}
	packages := ofRelease(string(out), k.Flavour)
	if len(packages) == 0 {
		return nil, fmt.Errorf("cannot find what Debian's linux-image-%s needs in %q", k.Flavour, tail(out))
	}
	return debian.download(ctx, dir, packages...)
}

// ofRelease picks the packages that hold the kernel out of a list of
// everything that its metapackage needs: linux-image-7.2.12+deb14-amd64, and
// for newer kernels linux-modules-7.2.12+deb14-amd64 and its like.
func ofRelease(depends, flavour string) []string {
	var packages []string
	for line := range strings.Lines(depends) {
		name, found := strings.CutPrefix(strings.TrimRight(line, "\n"), "linux-")
		kind, release, _ := strings.Cut(name, "-")
		if found && release != "" && release[0] >= '0' && release[0] <= '9' && strings.HasSuffix(release, "-"+flavour) {
			packages = append(packages, "linux-"+kind+"-"+release)
		}
	}
	return packages
}

// settle brings what was unpacked into the shape of an installed root: merged
// /usr, and depmod's files.
func (k DebianKernel) settle(ctx context.Context, dir string) error {
	lib := filepath.Join(dir, "lib")
	if info, err := os.Stat(lib); err == nil && info.IsDir() {
		if err := run(ctx, exec.CommandContext(ctx, "cp", "-al", lib, filepath.Join(dir, "usr"))); err != nil {
			return err
		}
		if err := os.RemoveAll(lib); err != nil {
			return err
		}
	}
	if err := os.Symlink("usr/lib", lib); err != nil {
		return err
	}
	files, err := rootKernel(dir)
	if err != nil {
		return err
	}
	return run(ctx, exec.CommandContext(ctx, "depmod", "-b", dir, files.release))
}
