// SPDX-License-Identifier: Apache-2.0

// Package firmware finds out which of the files that drivers ask the kernel for
// a guest lacks, and what package may have them.
package firmware

import (
	"path/filepath"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/internal/tree"
	"driverd/reason"
)

// suffixes are what may follow the name of a file: the kernel unpacks it
// (Linux: Documentation/driver-api/firmware/fw_search_path.rst, FW_LOADER_COMPRESS).
var suffixes = []string{"", ".xz", ".zst"}

// pathSize is the most that an attribute of sysfs can hold, in bytes.
const pathSize = 4096

// Guest is where a guest has its firmware.
type Guest struct {
	Root    string // "/"
	Release string // of the running kernel
}

// Lacking returns those of the files that the kernel would not find. A name that
// says too little, as some that modules give are patterns, is left out.
func (g Guest) Lacking(files []string) []string {
	files, dirs := slices.Clone(files), g.dirs()
	return slices.DeleteFunc(files, func(name string) bool {
		return !hwdetect.IsFirmware(name) || slices.ContainsFunc(dirs, func(dir string) bool { return g.has(dir, name) })
	})
}

// dirs are the folders that the kernel looks into, below the root.
func (g Guest) dirs() []string {
	var dirs []string
	for _, dir := range []string{"updates/" + g.Release, "updates", g.Release, ""} {
		dirs = append(dirs, filepath.Join("lib/firmware", dir))
	}
	own, err := tree.At(g.Root).Read("sys/module/firmware_class/parameters/path", pathSize)
	if dir := filepath.Join("/", strings.TrimSpace(string(own))); err == nil && dir != "/" {
		dirs = append(dirs, dir[1:])
	}
	return dirs
}

func (g Guest) has(dir, name string) bool {
	return slices.ContainsFunc(suffixes, func(suffix string) bool {
		info, err := tree.At(g.Root).Stat(filepath.Join(dir, name+suffix))
		return err == nil && info.Mode().IsRegular()
	})
}

// Paths returns the files of packages that a file of firmware can be.
func Paths(name string) []string {
	var paths []string
	for _, dir := range []string{"/usr/lib/firmware/", "/lib/firmware/"} {
		for _, suffix := range suffixes {
			paths = append(paths, dir+name+suffix)
		}
	}
	return paths
}

// MissingError says that the kernel was asked for files that it has not found.
// Its reason is FirmwareMissing.
type MissingError struct {
	Files []string // as drivers name them: "e100/d102e_ucode.bin"
	Err   error    // what there is to say of that
}

func (e *MissingError) Error() string { return e.Err.Error() }

// Unwrap gives the error its reason.
func (e *MissingError) Unwrap() error { return reason.With(reason.FirmwareMissing, e.Err) }
