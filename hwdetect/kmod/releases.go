// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"driverd/kernelbuild"
)

// kernelMarks are patterns of the files that make a folder one of a kernel: what its package
// brings, else what depmod writes, which also does so for the modules that are left of a kernel
// that has gone, else none, as a package may just be bringing them.
var kernelMarks = [][]string{{"vmlinuz*", "modules.order", "modules.builtin*", BuildFile}, {"modules.*"}, {""}}

// Releases lists the kernels that have modules in dir, /lib/modules, in the order of their
// names. Lists of symbols are there as well, and what packages of modules have left.
func Releases(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the installed kernels: %w", err)
	}
	var releases []string
	for _, patterns := range kernelMarks {
		for _, e := range entries {
			if e.IsDir() && slices.ContainsFunc(patterns, func(pattern string) bool {
				marks, _ := filepath.Glob(filepath.Join(dir, e.Name(), pattern))
				return len(marks) > 0
			}) {
				releases = append(releases, e.Name())
			}
		}
		if len(releases) > 0 {
			break
		}
	}
	return releases, nil
}

// LoadedModules returns the names of the modules that the kernel has loaded, sorted, by the
// file proc/modules under root. Those that others use are not among them: where the others are,
// modprobe brings what they need, and it may be something else in another kernel.
func LoadedModules(root string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, "proc/modules"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the loaded modules: %w", err)
	}
	var names []string
	for line := range bytes.Lines(text) {
		// NAME SIZE REFERENCES USERS ...: see print_unload_info in kernel/module/procfs.c
		if f := bytes.Fields(line); len(f) > 3 && string(f[3]) == "-" {
			names = append(names, string(f[0]))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Lacking returns those of the modules that the kernel of dir, /lib/modules/RELEASE, has neither as
// files that depmod knows of, nor built in.
func Lacking(dir string, modules []string) ([]string, error) {
	has, err := builtInModules(dir)
	if err != nil {
		return nil, err
	}
	if err := eachFile(dir, func(file string, _ []byte) { has[kernelbuild.ModuleOfFile(file)] = true }); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(modules), func(name string) bool { return has[kernelbuild.ModuleName(name)] }), nil
}

// OfBuild returns the names of all modules that were built as part of the kernel of dir, in whatever
// packages they are, by modules.order (Linux: Documentation/kbuild/kbuild.rst). There are none if
// its package has no such file.
func OfBuild(dir string) (map[string]bool, error) { return modulesIn(dir, "modules.order") }
