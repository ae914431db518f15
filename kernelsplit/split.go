// SPDX-License-Identifier: Apache-2.0

// Package kernelsplit divides one built module tree into subpackages: a base that
// every guest needs, one each for SR-IOV network cards, graphics cards and
// other passed-through devices, and one for all other hardware.
//
// Rules say where a module wants to be, by what it is; dependencies say where
// it can be: a module that two groups need moves down to the base. The result
// is proven before anything is written: no module lost, none twice, and each
// finds what it depends on in its own subpackage or in one that this requires.
// Check holds it against what guests need.
//
// The RPM metadata that it writes follows Fedora's kernel.spec and
// kernel-srpm-macros to the letter, because driverd finds a driver by them.
package kernelsplit

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"driverd/kernelbuild"
)

// Placement is a module with its group and the reason.
type Placement struct {
	*Module
	Group Group
	Rule  *Rule  // the rule that matched the module
	Moves []Move // how it came from where it wanted to be to where it is, if it did not stay

	wish     Group        // where it wants to be: as Rule says, or beside leaders, or the base for askedBy
	leaders  []*Placement // the drivers that it follows, if Rule says so
	askedBy  *Placement   // who has it loaded by name, and is in the base
	needs    []*Placement // what it depends on, directly or not
	requests []*Placement // what it may have loaded by name
}

// Move says that a module had to go further down because another needs it.
type Move struct {
	To  Group
	For *Placement // who needs it, directly or not
}

// Split is a module tree divided: one placement for each module, sorted by path.
type Split struct {
	Release    string // uname -r
	Variant    string // of the kernel, as its packages' names have it: "64k-debug"; empty for none
	Placements []*Placement

	byName map[string]*Placement
}

// Divide places every module; what no rule matches is Unknown. It fails for a
// dependency that is not among the modules, modules that depend on each other
// in a circle, two modules of one name, and rules that are at odds: two that
// name one module and send it to different groups, or one that names a module
// that has to be elsewhere because of the rule of another that depends on it.
func Divide(release string, modules []*Module, rules Rules) (*Split, error) {
	s := &Split{Release: release, byName: make(map[string]*Placement, len(modules))}
	for _, m := range modules {
		p := &Placement{Module: m}
		if twin := s.byName[m.Name()]; twin != nil {
			return nil, fmt.Errorf("cannot place module %s: %s has the same name", m.Path, twin.Path)
		}
		s.byName[m.Name()] = p
		s.Placements = append(s.Placements, p)
	}
	slices.SortFunc(s.Placements, func(a, b *Placement) int { return cmp.Compare(a.Path, b.Path) })
	if err := s.findNeeds(); err != nil {
		return nil, err
	}
	s.findRequests()
	for _, p := range s.Placements {
		leaders := s.leadersOf(p)
		var err error
		if p.Rule, err = rules.match(p.Module, modulesOf(p.needs), len(leaders) > 0); err != nil {
			return nil, fmt.Errorf("cannot place module %s: %w", p.Path, err)
		}
		if p.wish = p.Rule.Group; p.wish == follow {
			p.leaders, p.wish = leaders, Hardware
		}
	}
	// Who follows, and who is asked for, wants to be where others have ended up.
	// A group only ever gets smaller, or follows one that does, so this ends.
	for again := true; again; {
		if err := s.settle(); err != nil {
			return nil, err
		}
		again = s.wishAgain()
	}
	return s, s.verify()
}

// findRequests fills in what each module may have loaded by name. A driver of a
// card is no part of that: it comes with the card, whoever asks for it.
func (s *Split) findRequests() {
	type name struct {
		of  *Placement
		are []string
	}
	var names []name
	for _, p := range s.Placements {
		if p.drivesCard() {
			continue
		}
		n := name{p, []string{p.Name()}}
		for _, a := range p.Aliases {
			if bus(a) == "" {
				n.are = append(n.are, kernelbuild.ModuleName(a))
			}
		}
		names = append(names, n)
	}
	for _, p := range s.Placements {
		for _, ask := range p.Asks {
			for _, n := range names {
				if n.of != p && slices.ContainsFunc(n.are, func(s string) bool { ok, _ := path.Match(ask, s); return ok }) {
					p.requests = append(p.requests, n.of)
				}
			}
		}
	}
}

// leadersOf returns the drivers that p belongs to: see Rule.
func (s *Split) leadersOf(p *Placement) []*Placement {
	var leaders []*Placement
	for _, name := range p.parents() {
		if d := s.byName[name]; d != nil && d != p {
			leaders = append(leaders, d)
		}
	}
	if len(leaders) > 0 {
		return leaders
	}
	for _, d := range p.needs {
		if d.drivesCard() {
			leaders = append(leaders, d)
		}
	}
	return leaders
}

// settle puts each module where it wants to be, and then where everyone that
// needs it, directly or not, can reach it. One pass is enough for that: whoever
// needs M also needs what M needs.
func (s *Split) settle() error {
	for _, p := range s.Placements {
		p.Group, p.Moves = p.wish, nil
		if p.askedBy != nil {
			p.Moves = []Move{{Base, p.askedBy}}
		}
	}
	for _, p := range s.Placements {
		for _, d := range p.needs {
			met := d.Group.Meet(p.wish)
			if met == d.Group {
				continue
			}
			if d.Rule.names(d.Module) {
				return fmt.Errorf("cannot place module %s: rule %v names it, and rule %v for %s, which depends on it, wants it in %s",
					d.Path, d.Rule, p.Rule, p.Path, met)
			}
			d.Group = met
			d.Moves = append(d.Moves, Move{met, p})
		}
	}
	return nil
}

// wishAgain has those that follow others, or are asked for by what is in the
// base, want to be where that is now. It returns whether any wants another group.
func (s *Split) wishAgain() (changed bool) {
	for _, p := range s.Placements {
		if p.leaders != nil && p.askedBy == nil {
			if wish := beside(p, p.leaders); wish != p.wish {
				p.wish, changed = wish, true
			}
		}
		if p.Group != Base {
			continue
		}
		for _, d := range p.requests {
			if d.Group != Base && !d.Rule.names(d.Module) {
				d.askedBy, d.wish, changed = p, Base, true
			}
		}
	}
	return changed
}

// beside returns the group for p, which follows the leaders: wherever one of its
// parents is, or else where all are that it depends on.
func beside(p *Placement, leaders []*Placement) Group {
	wish := leaders[0].Group
	for _, l := range leaders[1:] {
		if len(p.parents()) > 0 {
			wish = wish.Meet(l.Group)
		} else {
			wish = wish.join(l.Group)
		}
	}
	return wish
}

// verify proves closure. It repeats none of the reasoning in Divide: it only
// looks at where everything ended up.
func (s *Split) verify() error {
	for _, p := range s.Placements {
		for _, name := range p.dependencies() {
			if group := s.byName[name].Group; !p.Group.Reaches(group) {
				return fmt.Errorf("cannot place module %s in %s (rule %v): it depends on %s in %s",
					p.Path, p.Group, p.Rule, name, group)
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

// Unknown returns the modules that no rule matches, sorted by path.
func (s *Split) Unknown() []*Module {
	var unknown []*Module
	for _, p := range s.Placements {
		if p.Rule == Unknown {
			unknown = append(unknown, p.Module)
		}
	}
	return unknown
}

func modulesOf(placements []*Placement) []*Module {
	modules := make([]*Module, len(placements))
	for i, p := range placements {
		modules[i] = p.Module
	}
	return modules
}
