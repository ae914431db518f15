// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"path"
	"slices"

	"driverd/kernelbuild"
)

// Module is one loadable module, as its file and depmod describe it.
type Module struct {
	// Path is the file below /lib/modules/RELEASE, with any compression
	// suffix: "kernel/drivers/net/ethernet/intel/igb/igb.ko.xz".
	Path string
	// Size is the size of that file in bytes.
	Size int64
	// Depends holds the names of the modules that must be loaded before this
	// one (modules.dep(5); depmod lists them transitively, one hop is enough).
	Depends []string
	// SoftDepends holds the names of the modules that go with this one if they
	// are there ("softdep" and "weakdep" of modprobe.d(5)).
	SoftDepends []string
	// Asks holds what the module has the kernel load by name (Linux:
	// request_module): names of modules, and patterns of names.
	Asks []string
	// Imports holds the symbols that the module takes from elsewhere: the
	// undefined ones of its ELF symbol table.
	Imports []string
	// Aliases, Version and Firmware come from its .modinfo section
	// (Linux: MODULE_ALIAS, MODULE_VERSION and MODULE_FIRMWARE in
	// include/linux/module.h). Version is empty for most modules.
	Aliases  []string
	Version  string
	Firmware []string
}

// File is the file's name without directory and compression suffix: "igb.ko".
func (m *Module) File() string { return path.Base(m.uncompressedPath()) }

// Name is the name that the kernel and kmod know the module by, where a dash
// in the file's name is an underscore (modprobe(8)).
func (m *Module) Name() string { return kernelbuild.ModuleOfFile(m.Path) }

// dependencies lists what has to be reachable wherever the module is.
func (m *Module) dependencies() []string { return slices.Concat(m.Depends, m.SoftDepends) }

// uncompressedPath is the file below /lib/modules/RELEASE without the suffix of
// its compression. One in a way that kmod does not know keeps it.
func (m *Module) uncompressedPath() string {
	if plain, ok := kernelbuild.UncompressedFile(m.Path); ok {
		return plain
	}
	return m.Path
}
