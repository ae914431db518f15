// SPDX-License-Identifier: Apache-2.0

// Package kmod knows the modules of one kernel release by the indexes that
// depmod(8), the kernel's build and the packages leave in /lib/modules/RELEASE.
// It loads nothing: modprobe(8) does.
package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/internal/tree"
	"driverd/kernelbuild"
)

// The files of /lib/modules/RELEASE that are read. modules.alias and modules.dep are
// depmod's, modules.builtin.modinfo comes from the kernel's build. (modules.builtin.alias
// exists as a binary index only, made from the latter.) modules.catalog comes
// with a kernel that kernelsplit has split.
const (
	aliasFile   = "modules.alias"
	depFile     = "modules.dep"
	builtInFile = "modules.builtin.modinfo"
)

// BuildFile is the index of the kernel's build below /lib/modules/RELEASE.
const BuildFile = "modules.catalog"

// Files are those of /lib/modules/RELEASE that an Index is made of. depmod writes
// modules.dep with modules.alias, and it only says where the modules are.
var Files = [...]string{aliasFile, builtInFile, BuildFile}

// Index says which modules of a kernel release claim a PCI device. It is
// immutable, but what depmod has indexed counts only while its file is there. The
// zero Index knows no module.
type Index struct {
	installed owners
	builtIn   owners
	shipped   shipped

	general func() modules // the index that driverd ships; nil of the zero Index
}

// Read reads the index of the modules under dir, /lib/modules/RELEASE. A file
// that does not exist is an empty one: the packages are not there yet. Lines
// that make no sense are skipped, as kmod does.
func Read(dir string) (*Index, error) { return readFor(dir, bus) }

// ReadFor is Read for who asks about one identity only, which may be what
// modalias.Any returns: of any other the index knows nothing. It costs a tenth.
func ReadFor(dir, identity string) (*Index, error) { return readFor(dir, prefixOf(identity)) }

// bus is what the identity of a PCI device begins with.
const bus = "pci:"

// prefixOf is what patterns are chosen by for one identity.
func prefixOf(identity string) string {
	if !strings.HasPrefix(identity, bus) {
		return bus // of which none matches it
	}
	return modalias.Key(identity)
}

// parts are what an Index is made of, each of a file of its own.
type parts struct {
	installed, builtIn *owners
	shipped            *shipped
}

// index puts them together.
func (p parts) index(general func() modules) *Index {
	return &Index{installed: *p.installed, builtIn: *p.builtIn, shipped: *p.shipped, general: general}
}

// readFor reads what may match an identity that begins with a prefix.
func readFor(dir, prefix string) (*Index, error) {
	installed, err := readInstalled(dir, prefix)
	if err != nil {
		return nil, err
	}
	builtIn, err := readBuiltIn(dir, prefix)
	if err != nil {
		return nil, err
	}
	shipped, err := readShipped(dir, prefix)
	if err != nil {
		return nil, err
	}
	return parts{&installed, &builtIn, &shipped}.index(general(prefix)), nil
}

// readBuiltIn reads what the kernel's build says of what is in its image.
func readBuiltIn(dir, prefix string) (owners, error) {
	text, err := readFile(dir, builtInFile)
	if err != nil {
		return owners{}, err
	}
	b := ownersBuilder{prefix: prefix}
	for record := range bytes.SplitSeq(text, []byte{0}) {
		// MODULE.alias=PATTERN
		if module, pattern, ok := bytes.Cut(record, []byte(".alias=")); ok {
			b.add(pattern, module)
		}
	}
	return b.build(), nil
}

// readInstalled reads what depmod has indexed.
func readInstalled(dir, prefix string) (owners, error) {
	b := ownersBuilder{prefix: prefix}
	if err := eachAlias(dir, prefix, b.add); err != nil || len(b.modules) == 0 {
		return owners{}, err
	}
	all := b.build()
	all.files = make(map[string]string, len(all.modules))
	err := eachFile(dir, func(file string, _ []byte) {
		if n, known := b.numbers[kernelbuild.ModuleOfFile(file)]; known && !filepath.IsAbs(file) {
			all.files[all.modules[n]] = filepath.Join(dir, file)
		}
	})
	return all, err
}

// Installed is what Installed of an Index of dir returns, for who asks once.
func Installed(dir, name string) ([]string, error) {
	installed, err := readInstalled(dir, prefixOf(name))
	return installed.there(name), err
}

// maxFile is how large a file may be that is read, in bytes: a dozen times what the
// largest of a kernel with all its modules is.
const maxFile = 32 << 20

func readFile(dir, name string) ([]byte, error) {
	text, err := tree.At(dir).Read(name, maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the index of kernel modules: %w", err)
	}
	return text, nil
}

// Indexed returns the names of the loadable modules that by depmod's word claim the
// PCI device with this modalias, each once, in the order of modules.alias.
func (x *Index) Indexed(modalias string) []string { return x.installed.of(modalias) }

// Installed returns those of Indexed that are on the disk.
func (x *Index) Installed(modalias string) []string { return x.installed.there(modalias) }

// BuiltIn returns the names of the modules within the kernel's image that claim the PCI
// device with this modalias.
func (x *Index) BuiltIn(modalias string) []string { return x.builtIn.of(modalias) }

// Claims returns what one source says about the PCI device with this modalias, in the
// order of its file. Kernels before 6.18 list no PCI alias of what is built in, so
// that nothing is found does not mean that nothing is there.
//
// The index that driverd ships is of other kernels: it is read when it is first asked
// for, and says nothing where the kernel came with an index of its own.
func (x *Index) Claims(source hwdetect.Source, modalias string) []hwdetect.Claim {
	switch source {
	case hwdetect.BuiltIn:
		return x.builtIn.claims(modalias, source)
	case hwdetect.Installed:
		return x.installed.claims(modalias, source)
	case hwdetect.Shipped:
		return x.shipped.claims(modalias, source)
	case hwdetect.InIndex:
		if x.general != nil && x.shipped.aliases == nil {
			return x.general().claims(modalias, source)
		}
	}
	return nil
}

// Problem is why the index that came with the kernel is not understood, nil if it is,
// or if there is none.
func (x *Index) Problem() error { return x.shipped.problem }

// owners maps aliases to the modules that own them.
type owners struct {
	modules []string
	files   map[string]string // where depmod has seen each, if it has
	aliases *modalias.Table
}

// gone says whether a module was there when depmod ran, and is no more: a removal
// that was cut short, or that ran no scriptlet, leaves it in the index. Who
// believed that would never install it again.
func (o owners) gone(module string) bool {
	file := o.files[module]
	var info unix.Stat_t
	return file != "" && errors.Is(unix.Lstat(file, &info), unix.ENOENT)
}

// there is of without what is gone.
func (o owners) there(name string) []string { return slices.DeleteFunc(o.of(name), o.gone) }

func (o owners) of(name string) []string {
	if o.aliases == nil {
		return nil
	}
	var modules []string
	for _, i := range o.aliases.AppendMatches(nil, name) {
		modules = append(modules, o.modules[i])
	}
	return modules
}

func (o owners) claims(name string, source hwdetect.Source) []hwdetect.Claim {
	if o.aliases == nil {
		return nil
	}
	var claims []hwdetect.Claim
	last, gone := -1, false
	for _, c := range o.aliases.Claims(name) {
		module := o.modules[c.Value]
		if c.Value != last {
			last, gone = c.Value, o.gone(module)
		}
		if !gone {
			claims = append(claims, hwdetect.Claim{Source: source, Alias: c.Pattern, Module: hwdetect.Module{Name: module}})
		}
	}
	return claims
}

// ownersBuilder collects owners. Each module's name is kept once, and of the
// patterns only those that may match what begins with the prefix; with that of all
// PCI devices it is a third.
type ownersBuilder struct {
	prefix  string
	modules []string
	numbers map[string]int
	aliases modalias.Builder
}

func (b *ownersBuilder) add(pattern, module []byte) {
	if !mayMatch(pattern, b.prefix) || len(module) == 0 {
		return
	}
	name := kernelbuild.ModuleName(string(module))
	n, known := b.numbers[name]
	if !known {
		if b.numbers == nil {
			b.numbers = make(map[string]int)
		}
		n = len(b.modules)
		b.modules = append(b.modules, name)
		b.numbers[name] = n
	}
	b.aliases.Add(string(pattern), n)
}

func (b *ownersBuilder) build() owners {
	return owners{modules: b.modules, aliases: b.aliases.Build()}
}

// mayMatch says whether pattern may match an identity that begins with the prefix
// and goes on, by how it begins itself.
func mayMatch(pattern []byte, prefix string) bool {
	for i := range min(len(pattern), len(prefix)) {
		switch pattern[i] {
		case '*', '?', '[', '\\':
			return true
		case prefix[i]:
		default:
			return false
		}
	}
	return len(pattern) >= len(prefix)
}

// Loaded says whether the kernel that owns the sysfs under root has this module
// loaded, or loading, or built in with parameters or a version.
func Loaded(root, module string) bool {
	name := kernelbuild.ModuleName(module)
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return false
	}
	_, err := os.Stat(filepath.Join(root, "sys/module", name))
	return err == nil
}
