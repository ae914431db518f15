// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"driverd/kernelbuild"
)

// readSoftDepends fills in the soft dependencies from a modules.softdep, lines of
// "softdep MODULE pre: NAME... post: NAME...", and a modules.weakdep, which older
// depmods do not write, "weakdep MODULE NAME...". A name is a module's or one of
// its aliases. Like kmod (libkmod-config.c) it passes over what stands before
// "pre:" or "post:". A name that nobody has is built in, or of another
// architecture.
func (t *Tree) readSoftDepends() error {
	byName := make(map[string]*Module, len(t.Modules))
	byAlias := make(map[string][]string) // exact ones: the patterns are for devices
	for _, m := range t.Modules {
		byName[m.Name()] = m
		for _, a := range m.Aliases {
			byAlias[kernelbuild.ModuleName(a)] = append(byAlias[kernelbuild.ModuleName(a)], m.Name())
		}
	}
	read := func(line string) error {
		fields := strings.Fields(line)
		if len(fields) < 2 || byName[kernelbuild.ModuleName(fields[1])] == nil {
			return nil
		}
		m, counts := byName[kernelbuild.ModuleName(fields[1])], fields[0] == "weakdep"
		for _, word := range fields[2:] {
			switch name := kernelbuild.ModuleName(word); {
			case word == "pre:" || word == "post:":
				counts = fields[0] == "softdep"
			case !counts:
			case byName[name] != nil:
				m.SoftDepends = append(m.SoftDepends, name)
			default: // modprobe loads all that have the alias
				m.SoftDepends = append(m.SoftDepends, byAlias[name]...)
			}
		}
		slices.Sort(m.SoftDepends)
		m.SoftDepends = slices.Compact(m.SoftDepends)
		return nil
	}
	if err := eachLine(filepath.Join(t.Dir, "modules.softdep"), read); err != nil {
		return err
	}
	if err := eachLine(filepath.Join(t.Dir, "modules.weakdep"), read); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// findNeeds fills in for each module every other that it depends on, directly or
// not. Modules whose hard dependencies form a circle can never be loaded and
// are an error; soft ones may form one, and modprobe breaks it.
func (s *Split) findNeeds() (err error) {
	for _, p := range s.Placements {
		if p.needs, err = s.closure(p, (*Module).dependencies); err != nil {
			return err
		}
		hard, err := s.closure(p, func(m *Module) []string { return m.Depends })
		if err != nil {
			return err
		}
		for _, n := range append(hard, p) {
			if slices.Contains(n.Depends, p.Name()) {
				return fmt.Errorf("cannot place module %s: it depends on %s, which depends on it", p.Path, n.Path)
			}
		}
	}
	return nil
}

// closure returns what p reaches by next, without p itself.
func (s *Split) closure(p *Placement, next func(*Module) []string) ([]*Placement, error) {
	var all []*Placement
	seen := map[string]bool{p.Name(): true}
	for todo := []*Placement{p}; len(todo) > 0; todo = todo[1:] {
		for _, name := range next(todo[0].Module) {
			if seen[name] {
				continue
			}
			seen[name] = true
			d := s.byName[name]
			if d == nil {
				return nil, fmt.Errorf("cannot place module %s: it depends on %s, which is not in the tree", todo[0].Path, name)
			}
			all = append(all, d)
			todo = append(todo, d)
		}
	}
	return all, nil
}
