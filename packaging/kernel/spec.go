// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
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

// Write writes the spec fragment into dir, and for each subpackage its %files
// list and its Provides. The same split always gives the same bytes.
func (s *Split) Write(dir string) error {
	files := map[string]string{FragmentFile: s.fragment()}
	for _, g := range Groups() {
		files[g.Suffix()+".list"] = s.fileList(g)
		var provides strings.Builder
		for _, p := range Provides(s.In(g)) {
			provides.WriteString("Provides: " + p + "\n")
		}
		files[g.Suffix()+".provides"] = provides.String()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot write split: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("cannot write split: %w", err)
		}
	}
	return nil
}

// fragment returns the subpackages' sections. Provides, Requires and
// scriptlets are those of Fedora's kernel.spec for kernel-modules.
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
		line("Requires: kmod")
		// The libraries and interpreters of a module are none: rpm's
		// generators would only read every file for nothing.
		line("AutoReqProv: no")
		line("")
		line("%%description %s", sub)
		line("%s, for Linux %s.", g.summary(), s.Release)
		line("")
		scriptlets := []string{"post", "postun"}
		if g == Base {
			// kernel-core may come after it, and depmod wants modules.builtin.
			scriptlets = []string{"posttrans"}
		}
		for _, scriptlet := range scriptlets {
			line("%%%s %s", scriptlet, sub)
			line("/usr/sbin/depmod -a %s", s.Release)
			line("")
		}
		line("%%files %s -f %%{kernel_split}/%s.list", sub, sub)
		line("")
	}
	return b.String()
}

// fileList returns the %files of a subpackage. Every directory is listed with
// the files in it, so that none is left behind when the last of them goes.
func (s *Split) fileList(g Group) string {
	modules := s.In(g)
	var dirs, lines []string
	for _, m := range modules {
		for d := path.Dir(m.Path); d != "."; d = path.Dir(d) {
			dirs = append(dirs, d)
		}
	}
	slices.Sort(dirs)
	if g == Base { // it and kernel-core require each other, so either may be the last to go
		lines = append(lines, "%dir "+root(s.Release))
	}
	for _, d := range slices.Compact(dirs) {
		lines = append(lines, "%dir "+root(s.Release)+"/"+d)
	}
	for _, m := range modules {
		lines = append(lines, root(s.Release)+"/"+m.Path)
	}
	if g == Base {
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
