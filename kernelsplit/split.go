// SPDX-License-Identifier: Apache-2.0

// Package kernelsplit divides one built module tree into subpackages: a base that
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
package kernelsplit

import (
	"cmp"
	"fmt"
	"slices"
)

// Placement is a module with its group and the reason.
type Placement struct {
	*Module
	Group Group
	Rule  *Rule  // the rule that matched the module
	Moves []Move // how it came from the rule's group to where it is, if it did not stay
}

// Move says that a module had to go further down because another needs it.
type Move struct {
	To  Group
	For *Placement // who needs it, directly or not
}

// Split is a module tree divided: one placement for each module, sorted by path.
type Split struct {
	Release    string
	Placements []*Placement
}

// Divide places every module. It fails for a module that no rule matches, a
// dependency that is not among the modules, modules that depend on each other
// in a circle, two modules of one name, and rules that are at odds: two that
// name one module and send it to different groups, or one that names a module
// that has to be elsewhere because of the rule of another that depends on it.
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

	needs, err := allNeeds(s.Placements, byName)
	if err != nil {
		return nil, err
	}
	for _, p := range s.Placements {
		if p.Rule, err = rules.match(p.Module, needs[p]); err != nil {
			return nil, fmt.Errorf("cannot place module %s: %w", p.Path, err)
		}
		p.Group = p.Rule.Group
	}
	// Each module meets the wish of everyone that needs it, directly or not,
	// so one pass is enough: whoever needs M also needs what M needs.
	for _, p := range s.Placements {
		for _, n := range needs[p] {
			d := byName[n.Name()]
			met := d.Group.Meet(p.Rule.Group)
			if met == d.Group {
				continue
			}
			if d.Rule.names(d.Module) {
				return nil, fmt.Errorf("cannot place module %s: rule %q names it, and rule %q for %s, which depends on it, wants it in %s",
					d.Path, d.Rule.Text, p.Rule.Text, p.Path, met)
			}
			d.Group = met
			d.Moves = append(d.Moves, Move{met, p})
		}
	}
	return s, s.verify()
}

// verify proves closure. It repeats none of the reasoning in Divide: it only
// looks at where everything ended up.
func (s *Split) verify() error {
	group := make(map[string]Group, len(s.Placements))
	for _, p := range s.Placements {
		group[p.Name()] = p.Group
	}
	for _, p := range s.Placements {
		for _, name := range p.needs() {
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
