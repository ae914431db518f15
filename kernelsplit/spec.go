// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"cmp"
	_ "embed" // for driverd_kernel.attr
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// FragmentFile has the sections of the subpackages, for the kernel's spec to
// include. It is the same for every build: it names the release by macros.
//
//	%global kernel_split %{_builddir}/split
//	%include subpackages.inc
//
// %{name} is the name of the kernel's source package and %{KVERREL} the release
// without the variant. What a build is made of stands in lists, which rpmbuild
// reads when the modules are there: %{kernel_split}/SUBPACKAGE.list, and
// ProvidesFile.
const FragmentFile = "subpackages.inc"

// ProvidesFile lists what each file provides, a line each: PATH CAPABILITY. RPM
// reads it by GeneratorFile.
const ProvidesFile = "provides"

// GeneratorFile has RPM (its directory fileattrs) take the kmod() and modalias()
// Provides of modules from ProvidesFile, where the distribution's own generators
// are not there to make them.
const GeneratorFile = "driverd_kernel.attr"

// Generator is the content of GeneratorFile.
//
//go:embed driverd_kernel.attr
var Generator string

// generated are the files that depmod writes (kmod: tools/depmod.c). RPM
// records them as the base's without carrying them, so that they go when the
// kernel goes; modules.builtin, modules.builtin.modinfo and modules.order come
// from the kernel's build and belong to kernel-core.
var generated = []string{
	"modules.alias", "modules.alias.bin", "modules.builtin.alias.bin", "modules.builtin.bin",
	"modules.dep", "modules.dep.bin", "modules.devname", "modules.softdep",
	"modules.symbols", "modules.symbols.bin", "modules.weakdep",
}

// Write makes dir, which must not be there yet, and writes into it the spec
// fragment, the %files list of each subpackage, what the files provide, and the
// catalog. The same split always gives the same bytes, and a failure leaves
// nothing behind.
func (s *Split) Write(dir string) error {
	if err := s.write(dir); err != nil {
		return fmt.Errorf("cannot write split: %w", err)
	}
	return nil
}

func (s *Split) write(dir string) (err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fmt.Errorf("%s is there already", dir))
	}
	half, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(half))
		}
	}()
	files := map[string]string{FragmentFile: s.fragment(), CatalogFile: s.catalog(), ProvidesFile: s.provides()}
	for _, g := range Groups() {
		files[s.subpackage(g)+".list"] = s.fileList(g)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(half, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(half, 0o755); err != nil { // MkdirTemp makes it private
		return err
	}
	return os.Rename(half, dir)
}

// subpackage is what the subpackage's name adds to %{name}: "64k-modules-core".
func (s *Split) subpackage(g Group) string {
	if s.Variant == "" {
		return g.Suffix()
	}
	return s.Variant + "-" + g.Suffix()
}

// provides returns the content of ProvidesFile.
func (s *Split) provides() string {
	var b strings.Builder
	for _, p := range s.Placements {
		for _, capability := range Provides([]*Module{p.Module}) {
			fmt.Fprintf(&b, "%s/%s %s\n", root(s.Release), p.Path, capability)
		}
	}
	return b.String()
}

// fragment returns the subpackages' sections. Provides and Requires are those
// of Fedora's kernel.spec for kernel-modules.
func (s *Split) fragment() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	release, version := "%{KVERREL}", "%{kernel_split_version}"
	if s.Variant != "" {
		release += "+" + s.Variant
		version += "+" + capabilityWord(s.Variant)
	}
	line("# The version of *-uname-r capabilities. RPM takes one dash in it: where the")
	line("# kernel's release has more, the spec defines it, with underscores for the others.")
	line("%%{!?kernel_split_version:%%global kernel_split_version %%{KVERREL}}")
	line("")
	for _, g := range Groups() {
		sub := s.subpackage(g)
		line("%%package %s", sub)
		line("Summary: %s", g.summary())
		line("Provides: installonlypkg(kernel-module)")
		line("Provides: %%{name}-%s-uname-r = %s", sub, version)
		line("Requires: %%{name}-uname-r = %s", version)
		for _, r := range g.Requires() {
			line("Requires: %%{name}-%s-uname-r = %s", s.subpackage(r), version)
		}
		if g == Base {
			s.fromUnsplit(version, line)
		}
		line("Requires(post): coreutils")
		line("Requires(posttrans): coreutils kmod")
		line("Requires: kmod")
		// A module's libraries and interpreters are none: rpm's generators
		// would only read every file for nothing.
		line("AutoReq: no")
		line("AutoProv: yes")
		line("")
		line("%%description %s", sub)
		line("%s, for Linux %s.", g.summary(), release)
		line("")
		s.scriptlets(g, release, line)
		line("%%files %s -f %%{kernel_split}/%s.list", sub, sub)
		line("")
	}
	return b.String()
}

// fromUnsplit writes what brings a machine over from kernels that were not
// split. Drivers that lay in its modules-core lie in any group now, and no name
// that is installed says so: as long as an unsplit modules-core is there, all
// groups are required. When the last is gone they may be removed, too.
// An Obsoletes would take modules from the running kernel, which stays
// installed beside the new one.
func (s *Split) fromUnsplit(version string, line func(format string, args ...any)) {
	core := s.subpackage(Base)
	split := strings.TrimSuffix(core, "core") + "split"
	line("Provides: %%{name}-%s", split)
	line("Requires: (%%{name}-%s-uname-r = %s if (%%{name}-%s without %%{name}-%s))", s.subpackage(Hardware), version, core, split)
}

// scriptlets writes those that keep depmod's files right with one run for each
// transaction. All subpackages ask for it in %post, and the first %posttrans,
// which runs when every file is there, does it for all; after it dracut may
// follow in the same scriptlet, which a file trigger, coming after all of
// them, would be too late for. A file trigger sees to removals: there is no
// other way to hear of the last one. It has nothing to do if the index names no
// module that is gone: something was installed in the same transaction.
func (s *Split) scriptlets(g Group, release string, line func(format string, args ...any)) {
	sub := s.subpackage(g)
	const state = "/var/lib/rpm-state/kernel"
	asked := state + "/depmod-" + release
	line("%%post %s", sub)
	line("mkdir -p %s && touch %s", state, asked)
	line("")
	line("%%posttrans %s", sub)
	line("if [ -e %s ]; then", asked)
	line("    rm -f %s", asked)
	line("    /usr/sbin/depmod -a %s", release)
	line("fi")
	line("")
	if g == Base {
		// modules.order is kernel-core's: without it the kernel is gone as well.
		line("%%transfiletriggerpostun %s -- %s/kernel", sub, root(release))
		line("[ ! -e %s/modules.order ] || while IFS=: read -r module depends; do", root(release))
		line("    [ -e \"%s/$module\" ] || { /usr/sbin/depmod -a %s; break; }", root(release), release)
		line("done <%s/modules.dep", root(release))
		line("")
	}
}

// fileList returns the %files of a subpackage. Every directory is listed with
// the files in it, so that none is left behind when the last of them goes: rpm
// may remove what requires others after them.
func (s *Split) fileList(g Group) string {
	modules := s.In(g)
	var dirs, lines []string
	for _, m := range modules {
		for d := path.Dir(m.Path); d != "."; d = path.Dir(d) {
			dirs = append(dirs, d)
		}
	}
	slices.Sort(dirs)
	lines = append(lines, "%dir "+root(s.Release))
	for _, d := range slices.Compact(dirs) {
		lines = append(lines, "%dir "+root(s.Release)+"/"+d)
	}
	for _, m := range modules {
		lines = append(lines, root(s.Release)+"/"+m.Path)
	}
	if g == Base {
		lines = append(lines, root(s.Release)+"/"+CatalogFile)
		for _, f := range generated {
			lines = append(lines, "%ghost %attr(0644, root, root) "+root(s.Release)+"/"+f)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// root is where packages put a release's modules: /lib/modules, although /lib
// has long been a link to usr/lib. Fedora's packages do, and rpm, dnf (which
// finds the running kernel's package by its files) and kmod all go by that path.
func root(release string) string { return "/lib/modules/" + release }
