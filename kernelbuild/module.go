// SPDX-License-Identifier: Apache-2.0

// Package kernelbuild holds the names that a kernel's packaging and driverd share:
// how a module and its file are spelled, and which subpackages a build has. It
// imports nothing of this module, so that both sides may import it.
package kernelbuild

import (
	"path"
	"strings"
)

// Compressions lists what may follow ".ko" in the name of a module's file, as
// kmod knows it. The empty suffix, of a file that is not compressed, comes first.
func Compressions() [4]string { return [...]string{"", ".xz", ".zst", ".gz"} }

// ModuleName returns the name of a module as the kernel spells it in /sys/module
// and /proc/modules: with '_' for '-' (kernel: scripts/Makefile.lib). kmod takes
// either spelling for the same module.
func ModuleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// ModulePattern returns a pattern that matches names as ModuleName spells them.
// A '-' between brackets is a range and stays (kmod: alias_normalize in
// shared/util.c).
func ModulePattern(pattern string) string {
	open := strings.IndexByte(pattern, '[')
	if open < 0 {
		return ModuleName(pattern)
	}
	length := strings.IndexByte(pattern[open:], ']')
	if length < 0 {
		return ModuleName(pattern[:open]) + pattern[open:]
	}
	rest := open + length
	return ModuleName(pattern[:open]) + pattern[open:rest] + ModulePattern(pattern[rest:])
}

// UncompressedFile returns the path of a module's file without the suffix of its
// compression: "kernel/net/igb.ko" for "kernel/net/igb.ko.xz". It is not ok if
// the file is no module, or is compressed in a way that kmod does not know.
func UncompressedFile(file string) (plain string, ok bool) {
	for _, compression := range Compressions() {
		stem, ok := strings.CutSuffix(file, ".ko"+compression)
		if ok && stem != "" && !strings.HasSuffix(stem, "/") {
			return strings.TrimSuffix(file, compression), true
		}
	}
	return "", false
}

// ModuleOfFile returns the name of the module in a file: "snd_hda_intel" for
// "kernel/sound/snd-hda-intel.ko.xz". It is empty if the file is no module.
func ModuleOfFile(file string) string {
	plain, ok := UncompressedFile(file)
	if !ok {
		return ""
	}
	return ModuleName(strings.TrimSuffix(path.Base(plain), ".ko"))
}
