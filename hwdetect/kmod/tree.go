// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
)

// Tree says where the module files of a kernel release are, and what depmod(8)
// knows of each. What it does not know is fresh: a package has just brought it.
type Tree struct {
	dir     string
	order   string            // modules.order
	fresh   map[string]string // path by module name, of those that were looked for
	indexed map[string]string
	depends map[string][]string // names by the name of an indexed module
	builtIn map[string]bool
	soft    []byte // modules.softdep
}

// own is the folder of the modules that modules.order lists: the kernel's own
// (kernel: scripts/Makefile.modinst).
const own = "kernel"

// ReadTree reads modules.dep and its companions in dir, /lib/modules/RELEASE, and
// looks there for modules that are in none of them. It does not look through the
// thousands that are the kernel's own: modules.order says where each is.
func ReadTree(dir string) (*Tree, error) {
	t := &Tree{
		dir:   dir,
		fresh: make(map[string]string), indexed: make(map[string]string),
		depends: make(map[string][]string),
	}
	err := eachFile(dir, func(file string, needs []byte) {
		name := kernelbuild.ModuleOfFile(file)
		t.indexed[name] = file
		for need := range bytes.FieldsSeq(needs) {
			t.depends[name] = append(t.depends[name], kernelbuild.ModuleOfFile(string(need)))
		}
	})
	if err != nil {
		return nil, err
	}
	if t.builtIn, err = builtInModules(dir); err != nil {
		return nil, err
	}
	if t.soft, err = readFile(dir, "modules.softdep"); err != nil {
		return nil, err
	}
	text, err := readFile(dir, "modules.order")
	if err != nil {
		return nil, err
	}
	t.order = string(text)
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot look for modules: %w", err)
	}
	for _, f := range folders {
		if f.IsDir() && (f.Name() != own || len(t.order) == 0) {
			if err := t.look(f.Name()); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// builtInModules returns the modules that are a part of the kernel's image.
func builtInModules(dir string) (map[string]bool, error) { return modulesIn(dir, "modules.builtin") }

// modulesIn returns the modules whose files are in a list.
func modulesIn(dir, list string) (map[string]bool, error) {
	text, err := readFile(dir, list)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for file := range strings.FieldsSeq(string(text)) {
		names[kernelbuild.ModuleOfFile(file)] = true
	}
	return names, nil
}

// look looks for fresh modules in a folder and below.
func (t *Tree) look(folder string) error {
	err := fs.WalkDir(os.DirFS(t.dir), folder, func(file string, entry fs.DirEntry, err error) error {
		name := kernelbuild.ModuleOfFile(file)
		if err != nil || name == "" || !entry.Type().IsRegular() || t.indexed[name] == file {
			return err
		}
		other := t.fresh[name] + t.indexed[name]
		if other == "" && folder != own {
			other = t.inOrder(name)
		}
		if other != "" && other != file {
			return fmt.Errorf("%s and %s are one module: depmod has to choose", other, file)
		}
		t.fresh[name] = file
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot look for modules in %s: %w", t.dir, err)
	}
	return nil
}

// inOrder returns the file of a module of the kernel's own, empty if it is not
// there (yet).
func (t *Tree) inOrder(name string) string {
	for line := range strings.Lines(t.order) {
		file := strings.TrimSpace(line) // before it is compressed
		stem, ok := strings.CutSuffix(file, ".ko")
		from := len(stem) - len(name)
		if !ok || from < 1 || stem[from-1] != '/' || kernelbuild.ModuleName(stem[from:]) != name || !fs.ValidPath(file) {
			continue
		}
		for _, c := range kernelbuild.Compressions() {
			if info, err := os.Lstat(filepath.Join(t.dir, file+c)); err == nil && info.Mode().IsRegular() {
				return file + c
			}
		}
	}
	return ""
}

// Fresh looks for all modules that depmod has not indexed, and returns their names
// in order.
func (t *Tree) Fresh() ([]string, error) {
	if _, err := os.Lstat(filepath.Join(t.dir, own)); err == nil {
		if err := t.look(own); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(t.fresh)), nil
}

// IsFresh says whether a module is there that depmod has not indexed yet.
func (t *Tree) IsFresh(module string) bool {
	name := kernelbuild.ModuleName(module)
	return t.indexed[name] == "" && t.Path(name) != ""
}

// Path returns the file of a module below /lib/modules/RELEASE, empty if there
// is none.
func (t *Tree) Path(module string) string {
	name := kernelbuild.ModuleName(module)
	if name == "" {
		return "" // though there may be garbage under it
	}
	if file := t.indexed[name]; file != "" {
		return file
	}
	if t.fresh[name] == "" {
		if file := t.inOrder(name); file != "" {
			t.fresh[name] = file
		}
	}
	return t.fresh[name]
}

// BuiltIn says whether the module is a part of the kernel's image.
func (t *Tree) BuiltIn(module string) bool { return t.builtIn[kernelbuild.ModuleName(module)] }

// Depends returns the modules that an indexed one needs, by depmod's word.
func (t *Tree) Depends(module string) []string { return t.depends[kernelbuild.ModuleName(module)] }

// Rank is where modules.order has a module, and so depmod: of several that claim a device,
// modprobe loads them in that order, and last what is not there.
func (t *Tree) Rank(module string) int {
	stem, _, _ := strings.Cut(t.Path(module), ".ko")
	if at := strings.Index(t.order, stem+".ko\n"); at >= 0 {
		return at
	}
	return len(t.order)
}

// SoftdepFile is what depmod has written of the soft dependencies of the indexed modules.
func (t *Tree) SoftdepFile() []byte { return t.soft }

// Softdeps returns the modules that go with an indexed one, by depmod's word.
func (t *Tree) Softdeps(module string) (names []string) {
	for line := range bytes.Lines(t.soft) {
		words := strings.Fields(string(line))
		if len(words) > 2 && words[0] == "softdep" && modalias.Match(kernelbuild.ModulePattern(words[1]), kernelbuild.ModuleName(module)) {
			names = append(names, SoftdepModules(strings.Join(words[2:], " "))...)
		}
	}
	return names
}

// notNames are what else is in a soft dependency. Words need no space between them and it.
var notNames = strings.NewReplacer("pre:", " ", "post:", " ")

// SoftdepModules returns the names in "pre: NAME... post: NAME...".
func SoftdepModules(softdep string) []string { return strings.Fields(notNames.Replace(softdep)) }
