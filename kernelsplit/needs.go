// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"fmt"
	"slices"
	"strings"

	"driverd/kernelbuild"
)

// readSoftdep fills in the soft dependencies from a modules.softdep: lines of
// "softdep MODULE pre: NAME... post: NAME...", where a name is a module's or one
// of its aliases. Like kmod (libkmod-config.c) it passes over what stands before
// "pre:". A name that nobody has is built in, or of another architecture.
func (t *Tree) readSoftdep(file string) error {
	lines, err := readLines(file)
	if err != nil {
		return err
	}
	byName := make(map[string]*Module, len(t.Modules))
	byAlias := make(map[string][]string) // exact ones: the patterns are for devices
	for _, m := range t.Modules {
		byName[m.Name()] = m
		for _, a := range m.Aliases {
			byAlias[kernelbuild.ModuleName(a)] = append(byAlias[kernelbuild.ModuleName(a)], m.Name())
		}
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		if fields[0] != "softdep" || len(fields) < 2 || byName[kernelbuild.ModuleName(fields[1])] == nil {
			continue
		}
		m := byName[kernelbuild.ModuleName(fields[1])]
		mode := ""
		for _, word := range fields[2:] {
			switch name := kernelbuild.ModuleName(word); {
			case word == "pre:" || word == "post:":
				mode = word
			case mode != "pre:":
			case byName[name] != nil:
				m.SoftDepends = append(m.SoftDepends, name)
			default: // modprobe loads all that have the alias
				m.SoftDepends = append(m.SoftDepends, byAlias[name]...)
			}
		}
		slices.Sort(m.SoftDepends)
		m.SoftDepends = slices.Compact(m.SoftDepends)
	}
	return nil
}

// allNeeds returns for each module every other that it depends on, directly or
// not. Modules whose hard dependencies form a circle can never be loaded and
// are an error; soft ones may form one, and modprobe breaks it.
func allNeeds(modules []*Placement, byName map[string]*Placement) (map[*Placement][]*Module, error) {
	all := make(map[*Placement][]*Module, len(modules))
	for _, p := range modules {
		needs, err := closure(p, byName, (*Module).needs)
		if err != nil {
			return nil, err
		}
		all[p] = needs
		hard, err := closure(p, byName, func(m *Module) []string { return m.Depends })
		if err != nil {
			return nil, err
		}
		for _, n := range append(hard, p.Module) {
			if slices.Contains(n.Depends, p.Name()) {
				return nil, fmt.Errorf("cannot place module %s: it depends on %s, which depends on it", p.Path, n.Path)
			}
		}
	}
	return all, nil
}

// closure returns what p reaches by next, without p itself.
func closure(p *Placement, byName map[string]*Placement, next func(*Module) []string) ([]*Module, error) {
	var all []*Module
	seen := map[string]bool{p.Name(): true}
	for todo := []*Module{p.Module}; len(todo) > 0; todo = todo[1:] {
		for _, name := range next(todo[0]) {
			if seen[name] {
				continue
			}
			seen[name] = true
			d := byName[name]
			if d == nil {
				return nil, fmt.Errorf("cannot place module %s: it depends on %s, which is not in the tree", todo[0].Path, name)
			}
			all = append(all, d.Module)
			todo = append(todo, d.Module)
		}
	}
	return all, nil
}
