// SPDX-License-Identifier: Apache-2.0

// Package repo makes the lab's package repository: the guest's kernel, divided
// by kernelsplit and packed as signed RPMs.
//
// It also holds what the main job must not fall for, a newer build of the same
// kernel. Beside it there is what RPM misses on a Debian root: a stub that provides
// what Debian's packages brought.
package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	kernel "driverd/kernelsplit"
)

// Kernel is a kernel to pack. Nothing of it is changed.
type Kernel struct {
	ModulesDir string // its modules after depmod; the last element is the release
	Vmlinuz    string // its image
	Config     string // its configuration
	Arch       string // its architecture, as RPM names it; empty for this machine's

	// Symvers lists the symbols that it exports: its Module.symvers. With it kernel-core
	// provides each with its checksum, as EL's does.
	Symvers string

	// Rules divide its modules; nil stands for the rules that driverd ships.
	Rules kernel.Rules

	// Unsplit makes the packages of a kernel from before the split: what the
	// rules send to the base is modules-core, and all the rest is modules.
	Unsplit bool

	// Hardware names the modules that kernel-modules has, beside what they
	// need; nil stands for all, of which there are thousands.
	Hardware []string

	// Dracut has the packages make an initrd for the kernel when they have been
	// installed, as Fedora's do for a kernel that was there before.
	Dracut bool

	// Variant is the kernel's, as its packages' names have it: "64k". The release of
	// the modules ends in it.
	Variant string

	// NoAliases leaves out the modalias() Provides, as a build without
	// Fedora's kernel-rpm-macros does.
	NoAliases bool
}

// Input is what a repository is made from.
type Input struct {
	Kernels []Kernel

	// Newer adds a later build of the first kernel, with few modules.
	Newer bool
}

// Build makes out/repo, an rpm-md repository, and out/key.asc, the public half
// of the key that signed it, thrown away after. out must exist. It needs rpm,
// createrepo_c, gpg, depmod, and what decompresses the modules; no root.
func Build(ctx context.Context, in Input, out string) (err error) {
	work, err := os.MkdirTemp("", "driverd-repo-") // short: gpg-agent has its socket in it
	if err != nil {
		return fmt.Errorf("cannot build repository: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	rpms := filepath.Join(out, "repo")
	if err := os.Mkdir(rpms, 0o755); err != nil {
		return fmt.Errorf("cannot build repository: %w", err)
	}

	var builds []kernelBuild
	for _, k := range in.Kernels {
		tree, err := kernel.ReadTree(ctx, k.ModulesDir)
		if err != nil {
			return err
		}
		build := kernelBuild{Kernel: k, tree: tree}
		if k.Hardware != nil {
			if build, err = build.lean(ctx, filepath.Join(work, "lean")); err != nil {
				return fmt.Errorf("cannot make a lean build of kernel %s: %w", tree.Release, err)
			}
		}
		builds = append(builds, build)
	}
	if in.Newer {
		newer, err := builds[0].newer(ctx, filepath.Join(work, "newer"))
		if err != nil {
			return fmt.Errorf("cannot make a newer kernel build: %w", err)
		}
		builds = append(builds, newer)
	}
	for _, build := range builds {
		if err := build.pack(ctx, work, rpms); err != nil {
			return fmt.Errorf("cannot pack kernel %s: %w", build.tree.Release, err)
		}
	}
	if err := sign(ctx, work, rpms, filepath.Join(out, "key.asc")); err != nil {
		return fmt.Errorf("cannot sign packages: %w", err)
	}
	return run(exec.CommandContext(ctx, "createrepo_c", "--quiet", "--no-database", "--workers=2", rpms))
}

// rpmbuild packs the spec into RPMs in dir, of an architecture as RPM names it or, if that
// is empty, of this machine's. Compression is as good as off:
// modules are compressed already, and the guest has better things to do.
func rpmbuild(ctx context.Context, spec, arch, work, dir string) (err error) {
	top, err := os.MkdirTemp(work, "rpmbuild-")
	if err != nil {
		return err
	}
	// Away at once: with the copy of the modules it is the largest thing here.
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	file, generators := filepath.Join(top, "lab.spec"), filepath.Join(top, "fileattrs")
	generator := filepath.Join(generators, kernel.GeneratorFile)
	// Not --load: with --target, rpmbuild forgets what it has loaded.
	if err := os.WriteFile(file, []byte("%{load:"+generator+"}\n"+spec), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(generators, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(generator, []byte(kernel.Generator), 0o644); err != nil {
		return err
	}
	args := []string{"-bb", "--quiet"}
	if arch != "" {
		args = append(args, "--target", arch)
	}
	return run(exec.CommandContext(ctx, "rpmbuild", append(args,
		"--define", "_fileattrsdir "+generators, // instead of this machine's own
		"--define", "_topdir "+top,
		"--define", "_tmppath "+top, // its scripts stay behind when a build fails
		"--define", "_rpmdir "+dir,
		"--define", "_dbpath "+filepath.Join(top, "rpmdb"),
		"--define", "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
		"--define", "_binary_payload w1.zstdio",
		"--define", "_build_id_links none",
		"--define", "debug_package %{nil}",
		"--define", "__os_install_post %{nil}", // nothing may strip a module
		file)...))
}

// run runs a command whose output matters only if it fails.
func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run %s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
