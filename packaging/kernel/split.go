// SPDX-License-Identifier: Apache-2.0

// Package kernel divides one built module tree into subpackages: a base that
// every guest needs, one each for SR-IOV network cards, graphics cards and
// other passed-through devices, and one for all other hardware.
//
// Rules say where a module wants to be, by what it is; dependencies say where
// it can be: a module that two groups need moves down to the base. The result
// is proven before anything is written: no module lost, none twice, and each
// finds what it depends on in its own subpackage or in one that this requires.
//
// The RPM metadata that it writes follows Fedora's kernel.spec and
// kernel-srpm-macros to the letter, because driverd finds a driver by them.
package kernel

import (
	"cmp"
	"fmt"
	"slices"
)

// Placement is a module with its group and the reason.
type Placement struct {
	*Module
	Group Group
	Rule  *Rule   // the rule that matched the module
	For   *Module // who needed it further down than the rule wanted it, or nil
}

// Split is a module tree divided: one placement for each module, sorted by path.
type Split struct {
	Release    string
	Placements []*Placement
}

// Divide places every module. It fails for a module that no rule matches, a
// dependency that is not among the modules, and two modules of one name.
func Divide(release string, modules []*Module, rules Rules) (*Split, error) {
	s := &Split{Release: release}
	byName := make(map[string]*Placement, len(modules))
	for _, m := range modules {
		p := &Placement{Module: m}
		if twin := byName[m.Name()]; twin != nil {
			return nil, fmt.Errorf("cannot place module %s: %s has the same name", m.Path, twin.Path)
		}
		byName[m.Name()] = p
		s.Placements = append(s.Placements, p)
	}
	slices.SortFunc(s.Placements, func(a, b *Placement) int { return cmp.Compare(a.Path, b.Path) })

	needs := make(map[*Placement][]*Module, len(modules))
	for _, p := range s.Placements {
		var err error
		if needs[p], err = allNeeds(p.Module, byName); err != nil {
			return nil, err
		}
		if p.Rule = rules.match(p.Module, needs[p]); p.Rule == nil {
			return nil, fmt.Errorf("cannot place module %s: no rule matches it", p.Path)
		}
		p.Group = p.Rule.Group
	}
	// Each module meets the wish of everyone that needs it, directly or not,
	// so one pass is enough: whoever needs M also needs what M needs.
	for _, p := range s.Placements {
		for _, n := range needs[p] {
			d := byName[n.Name()]
			if met := d.Group.Meet(p.Rule.Group); met != d.Group {
				d.Group, d.For = met, p.Module
			}
		}
	}
	return s, s.verify()
}

// allNeeds returns every module that m depends on, directly or not. A cycle
// (depmod would have refused it) ends where it began.
func allNeeds(m *Module, byName map[string]*Placement) ([]*Module, error) {
	var all []*Module
	seen := map[string]bool{m.Name(): true}
	for todo := []*Module{m}; len(todo) > 0; todo = todo[1:] {
		for _, name := range todo[0].Depends {
			if seen[name] {
				continue
			}
			seen[name] = true
			p := byName[name]
			if p == nil {
				return nil, fmt.Errorf("cannot place module %s: it depends on %s, which is not in the tree", todo[0].Path, name)
			}
			all = append(all, p.Module)
			todo = append(todo, p.Module)
		}
	}
	return all, nil
}

// verify proves closure. It repeats none of the reasoning in Divide: it only
// looks at where everything ended up.
func (s *Split) verify() error {
	group := make(map[string]Group, len(s.Placements))
	for _, p := range s.Placements {
		group[p.Name()] = p.Group
	}
	for _, p := range s.Placements {
		for _, name := range p.Depends {
			if !p.Group.Reaches(group[name]) {
				return fmt.Errorf("cannot place module %s in %s (rule %q): it depends on %s in %s",
					p.Path, p.Group, p.Rule.Text, name, group[name])
			}
		}
	}
	return nil
}

// In returns the modules of one group, sorted by path.
func (s *Split) In(g Group) []*Module {
	var in []*Module
	for _, p := range s.Placements {
		if p.Group == g {
			in = append(in, p.Module)
		}
	}
	return in
}
