// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bytes"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
)

// Tree says where the module files of a kernel release are, and what depmod(8)
// knows of each. What it does not know is fresh: a package has just brought it.
type Tree struct {
	fresh   map[string]string // path by module name
	indexed map[string]string
	depends map[string][]string // names by the name of an indexed module
	builtIn map[string]bool
	soft    []Softdep
}

// compressions are the suffixes of a module's file that kmod knows.
var compressions = []string{"", ".xz", ".zst", ".gz"}

// ReadTree reads modules.dep and its companions in dir, /lib/modules/RELEASE,
// and looks for the modules below dir that are not in it.
func ReadTree(dir string) (*Tree, error) {
	t := &Tree{
		fresh: make(map[string]string), indexed: make(map[string]string),
		depends: make(map[string][]string), builtIn: make(map[string]bool),
	}
	text, err := readFile(dir, depFile)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool)
	for file, needs := range indexed(text) {
		name := moduleOf(file)
		known[file] = true
		t.indexed[name] = file
		for need := range strings.FieldsSeq(needs) {
			t.depends[name] = append(t.depends[name], moduleOf(need))
		}
	}
	if text, err = readFile(dir, "modules.builtin"); err != nil {
		return nil, err
	}
	for line := range strings.FieldsSeq(string(text)) {
		t.builtIn[moduleOf(line)] = true
	}
	if text, err = readFile(dir, "modules.softdep"); err != nil {
		return nil, err
	}
	t.soft = Softdeps(text)
	err = fs.WalkDir(os.DirFS(dir), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || known[file] || moduleOf(file) == "" {
			return err
		}
		name := moduleOf(file)
		if other := t.fresh[name] + t.indexed[name]; other != "" {
			return fmt.Errorf("%s and %s are one module: depmod has to choose", other, file)
		}
		t.fresh[name] = file
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot look for modules in %s: %w", dir, err)
	}
	return t, nil
}

// indexed are the files of a modules.dep, each with those that it needs.
func indexed(text []byte) iter.Seq2[string, string] {
	return func(yield func(file, needs string) bool) {
		for line := range strings.Lines(string(text)) {
			// PATH: PATH...; what a module needs is listed whole, not one hop only.
			if file, needs, _ := strings.Cut(line, ":"); !yield(file, needs) {
				return
			}
		}
	}
}

// Fresh returns the names of the modules that depmod has not indexed, in order.
func (t *Tree) Fresh() []string {
	names := make([]string, 0, len(t.fresh))
	for name := range t.fresh {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// IsFresh says whether depmod has not indexed the module yet.
func (t *Tree) IsFresh(module string) bool { return t.fresh[normalize(module)] != "" }

// Path returns the file of a module below /lib/modules/RELEASE, empty if there
// is none.
func (t *Tree) Path(module string) string {
	name := normalize(module)
	return t.fresh[name] + t.indexed[name]
}

// BuiltIn says whether the module is a part of the kernel's image.
func (t *Tree) BuiltIn(module string) bool { return t.builtIn[normalize(module)] }

// Depends returns the modules that an indexed one needs, by depmod's word.
func (t *Tree) Depends(module string) []string { return t.depends[normalize(module)] }

// Softdeps returns the soft dependencies of the indexed modules.
func (t *Tree) Softdeps() []Softdep { return t.soft }

// Softdep is what modprobe loads before and after the modules whose name
// matches a pattern, if it is there ("softdep" in modprobe.d(5)).
type Softdep struct {
	Pattern string
	Modules []string
}

// Softdeps reads the softdep lines of modules.softdep, or of modprobe's
// configuration.
func Softdeps(text []byte) []Softdep {
	var all []Softdep
	for line := range bytes.Lines(text) {
		words := strings.Fields(string(line))
		if len(words) > 2 && words[0] == "softdep" {
			all = append(all, Softdep{Pattern: normalize(words[1]), Modules: SoftdepModules(strings.Join(words[2:], " "))})
		}
	}
	return all
}

// notNames are what else is in a soft dependency. modprobe --showconfig leaves
// no space before "post:" (kmod: libkmod/libkmod-config.c).
var notNames = strings.NewReplacer("pre:", " ", "post:", " ")

// SoftdepModules returns the names in "pre: NAME... post: NAME...".
func SoftdepModules(softdep string) []string { return strings.Fields(notNames.Replace(softdep)) }

// moduleOf returns the name of the module in a file, empty if it is none.
func moduleOf(file string) string {
	base := path.Base(file)
	for _, c := range compressions {
		if name, ok := strings.CutSuffix(base, ".ko"+c); ok {
			return normalize(name)
		}
	}
	return ""
}
