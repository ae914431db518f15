// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// FragmentFile is the file that a kernel's spec includes, as in
//
//	%global kernel_split DIR
//	%include %{kernel_split}/subpackages.inc
//
// with %{name} being the name of the kernel's source package.
const FragmentFile = "subpackages.inc"

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
// fragment, for each subpackage its %files list and its Provides, and the
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
	files := map[string]string{FragmentFile: s.fragment(), CatalogFile: s.catalog()}
	for _, g := range Groups() {
		files[g.Suffix()+".list"] = s.fileList(g)
		var provides strings.Builder
		for _, p := range Provides(s.In(g)) {
			provides.WriteString("Provides: " + p + "\n")
		}
		files[g.Suffix()+".provides"] = provides.String()
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

// fragment returns the subpackages' sections. Provides and Requires are those
// of Fedora's kernel.spec for kernel-modules.
func (s *Split) fragment() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	version := CapabilityVersion(s.Release)
	for _, g := range Groups() {
		sub := g.Suffix()
		line("%%package %s", sub)
		line("Summary: %s", g.summary())
		line("Provides: installonlypkg(kernel-module)")
		line("Provides: %%{name}-%s-uname-r = %s", sub, version)
		line("%%include %%{kernel_split}/%s.provides", sub)
		line("Requires: %%{name}-uname-r = %s", version)
		for _, r := range g.Requires() {
			line("Requires: %%{name}-%s-uname-r = %s", r.Suffix(), version)
		}
		if g == Base {
			s.fromUnsplit(line)
		}
		line("Requires(post): coreutils")
		line("Requires(posttrans): coreutils kmod")
		line("Requires: kmod")
		// The libraries and interpreters of a module are none: rpm's
		// generators would only read every file for nothing.
		line("AutoReqProv: no")
		line("")
		line("%%description %s", sub)
		line("%s, for Linux %s.", g.summary(), s.Release)
		line("")
		s.scriptlets(g, line)
		line("%%files %s -f %%{kernel_split}/%s.list", sub, sub)
		line("")
	}
	return b.String()
}

// fromUnsplit writes what brings a machine over from kernels that were not
// split. Drivers that lay in its modules-core lie in a group now, and no name
// that is installed says so: as long as an unsplit modules-core is there, the
// groups are required. When the last is gone they may be removed, too.
// An Obsoletes would take modules from the running kernel, which stays
// installed beside the new one.
func (s *Split) fromUnsplit(line func(format string, args ...any)) {
	line("Provides: %%{name}-modules-split")
	version := CapabilityVersion(s.Release)
	for _, g := range []Group{SRIOV, GPU, Passthrough} {
		line("Requires: (%%{name}-%s-uname-r = %s if (%%{name}-modules-core without %%{name}-modules-split))", g.Suffix(), version)
	}
	line("Requires: (%%{name}-%s-uname-r = %s if %%{name}-modules-extra)", Hardware.Suffix(), version)
}

// scriptlets writes those that keep depmod's files right with one run for each
// transaction. All subpackages ask for it in %post, and the first %posttrans,
// which runs when every file is there, does it for all; after it dracut may
// follow in the same scriptlet, which a file trigger, coming after all of
// them, would be too late for. A file trigger sees to removals: there is no
// other way to hear of the last one. It has nothing to do if the index names no
// module that is gone: something was installed in the same transaction.
func (s *Split) scriptlets(g Group, line func(format string, args ...any)) {
	sub := g.Suffix()
	const state = "/var/lib/rpm-state/kernel"
	asked := state + "/depmod-" + s.Release
	line("%%post %s", sub)
	line("mkdir -p %s && touch %s", state, asked)
	line("")
	line("%%posttrans %s", sub)
	line("if [ -e %s ]; then", asked)
	line("    rm -f %s", asked)
	line("    /usr/sbin/depmod -a %s", s.Release)
	line("fi")
	line("")
	if g == Base {
		// modules.order is kernel-core's: without it the kernel is gone as well.
		line("%%transfiletriggerpostun %s -- %s/kernel", sub, root(s.Release))
		line("[ ! -e %s/modules.order ] || while IFS=: read -r module depends; do", root(s.Release))
		line("    [ -e \"%s/$module\" ] || { /usr/sbin/depmod -a %s; break; }", root(s.Release), s.Release)
		line("done <%s/modules.dep", root(s.Release))
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
