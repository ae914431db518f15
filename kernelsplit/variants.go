// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// DefVariants writes the placement as rules for filtermods.py, which places the
// modules in the build of Fedora's kernel (its file def_variants.yaml): the
// packages and what each depends on, then rules, of which the first that matches
// counts, each with a regular expression for the path below the first folder.
//
// One text serves all the given splits, of other architectures or variants. For a
// module that they have in different groups it names the one that reaches all:
// like Divide, filtermods.py moves a module down to where another needs it.
func DefVariants(splits ...*Split) string {
	top := &folder{}
	for _, s := range splits {
		for _, p := range s.Placements {
			_, below, _ := strings.Cut(p.uncompressedPath(), "/")
			top.add(strings.Split(below, "/"), p.Group)
		}
	}
	var b strings.Builder
	b.WriteString("packages:\n")
	for _, g := range Groups() {
		fmt.Fprintf(&b, "  - name: %s\n    depends-on:", g.Suffix())
		if len(g.Requires()) == 0 {
			b.WriteString(" []")
		}
		b.WriteString("\n")
		for _, r := range g.Requires() {
			// What a module cannot be in for its dependencies, it leaves for the
			// nearest: a group lies between hardware and the base.
			if g != Hardware || r != Base {
				fmt.Fprintf(&b, "    - %s\n", r.Suffix())
			}
		}
	}
	b.WriteString("\nrules:\n")
	top.write(&b, "", Hardware)
	fmt.Fprintf(&b, "  - default: %s\n", Hardware.Suffix())
	return b.String()
}

// folder is a folder of modules, with the group of each.
type folder struct {
	modules map[string]Group
	folders map[string]*folder
	least   map[Group]int // see rules
}

func (f *folder) add(names []string, g Group) {
	if len(names) == 1 {
		if f.modules == nil {
			f.modules = make(map[string]Group)
		}
		f.modules[names[0]] = g.join(cmp.Or(f.modules[names[0]], g))
		return
	}
	if f.folders == nil {
		f.folders = make(map[string]*folder)
	}
	if f.folders[names[0]] == nil {
		f.folders[names[0]] = &folder{}
	}
	f.folders[names[0]].add(names[1:], g)
}

// rules returns the least number of rules that the folder needs if a rule further
// down says g for what is left of it.
func (f *folder) rules(g Group) int {
	if n, known := f.least[g]; known {
		return n
	}
	n := 0
	for _, group := range f.modules {
		if group != g {
			n++
		}
	}
	for _, sub := range f.folders {
		n += sub.cost(sub.best(g), g)
	}
	if f.least == nil {
		f.least = make(map[Group]int)
	}
	f.least[g] = n
	return n
}

// cost is what rules returns, and one more if the folder has a rule of its own,
// for another group than g.
func (f *folder) cost(own, g Group) int {
	if own == g {
		return f.rules(g)
	}
	return f.rules(own) + 1
}

// best returns the group that the folder is to have a rule for, or g for none.
func (f *folder) best(g Group) Group {
	best := g
	for _, own := range Groups() {
		if f.cost(own, g) < f.cost(best, g) {
			best = own
		}
	}
	return best
}

// write writes the rules of the folder at dir; what they leave is g's.
func (f *folder) write(b *strings.Builder, dir string, g Group) {
	for _, name := range slices.Sorted(maps.Keys(f.folders)) {
		sub := f.folders[name]
		own := sub.best(g)
		sub.write(b, path.Join(dir, name), own)
		if own != g {
			fmt.Fprintf(b, "  - %s/.*: %s\n", regexp.QuoteMeta(path.Join(dir, name)), own.Suffix())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.modules)) {
		if f.modules[name] != g {
			fmt.Fprintf(b, "  - %s: %s\n", regexp.QuoteMeta(path.Join(dir, name)), f.modules[name].Suffix())
		}
	}
}
