// SPDX-License-Identifier: Apache-2.0

// Package filtermods places modules as the tool of that name does in the build of
// Fedora's kernel, by rules of its form (def_variants.yaml). It is written from
// the tool's description, for tests of what kernelsplit writes for it.
package filtermods

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Rules is a file of rules.
type Rules struct {
	Packages map[string][]string // what each package depends on, directly
	Default  string
	rules    []rule
	reach    map[string][]string // each package and what it depends on, directly or not
}

type rule struct {
	pattern     *regexp.Regexp
	target      string
	exact       bool // exact_pkg: the module must be there
	ignoresDeps bool // ignore_deps: its dependencies do not bind it
}

// Parse reads a file of rules: of YAML, only what such files use.
func Parse(text string) (*Rules, error) {
	r := &Rules{Packages: make(map[string][]string)}
	section, name := "", ""
	for i, line := range strings.Split(text, "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		item, isItem := strings.CutPrefix(strings.TrimSpace(line), "- ")
		key, value, _ := cutLast(item)
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#"):
		case indent == 0:
			section = strings.TrimSuffix(line, ":")
		case section == "packages" && isItem && key == "name":
			name = value
			r.Packages[name] = nil
		case section == "packages" && isItem:
			r.Packages[name] = append(r.Packages[name], item)
		case section == "packages" && key == "depends-on":
		case section == "rules" && isItem && key == "default":
			r.Default = value
		case section == "rules" && isItem:
			pattern, err := regexp.Compile("^(?:" + key + ")")
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			r.rules = append(r.rules, rule{pattern: pattern, target: value})
		case section == "rules" && len(r.rules) > 0 && key == "exact_pkg":
			r.rules[len(r.rules)-1].exact = value == "True"
		case section == "rules" && len(r.rules) > 0 && key == "ignore_deps":
			r.rules[len(r.rules)-1].ignoresDeps = value == "True"
		default:
			return nil, fmt.Errorf("line %d: %q is not understood", i+1, line)
		}
	}
	for _, rule := range r.rules {
		if _, known := r.Packages[rule.target]; !known {
			return nil, fmt.Errorf("rule %v is for %s, which is no package", rule.pattern, rule.target)
		}
	}
	r.reach = make(map[string][]string, len(r.Packages))
	for name := range r.Packages {
		r.reach[name] = r.reached(name)
	}
	return r, nil
}

// cutLast cuts a text around its last ": ", or before a last ":".
func cutLast(s string) (before, after string, found bool) {
	if i := strings.LastIndex(s, ": "); i >= 0 {
		return s[:i], s[i+2:], true
	}
	return strings.TrimSuffix(s, ":"), "", strings.HasSuffix(s, ":")
}

// reached lists a package and what it depends on, directly or not.
func (r *Rules) reached(name string) []string {
	all := []string{name}
	for i := 0; i < len(all); i++ {
		for _, d := range r.Packages[all[i]] {
			if !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	return all
}

// module is one module while it is placed.
type module struct {
	path    string
	rule    *rule
	allowed []string
	needs   []*module
	users   []*module
}

// Place returns the package of each module. depends is a modules.dep: by the path of
// each module, those of what it depends on.
func (r *Rules) Place(depends map[string][]string) (map[string]string, error) {
	modules := make(map[string]*module, len(depends))
	for path := range depends {
		modules[path] = r.module(path)
	}
	var all []*module
	for path, m := range modules {
		all = append(all, m)
		if m.rule != nil && m.rule.ignoresDeps {
			continue
		}
		for _, d := range depends[path] {
			m.needs = append(m.needs, modules[d])
			modules[d].users = append(modules[d].users, m)
		}
	}
	slices.SortFunc(all, func(a, b *module) int { return strings.Compare(a.path, b.path) })
	if err := r.narrow(slices.Clone(all)); err != nil {
		return nil, err
	}
	// Those that a rule has a wish for come first; whoever needs others before them.
	placed := make(map[string]string, len(all))
	for _, wished := range []bool{true, false} {
		for _, m := range topological(all) {
			if (m.rule != nil) != wished {
				continue
			}
			target := r.Default
			if wished {
				target = m.rule.target
			}
			i := slices.IndexFunc(r.reach[target], func(p string) bool { return slices.Contains(m.allowed, p) })
			if i < 0 {
				return nil, fmt.Errorf("cannot place %s: neither %s nor what it depends on is left in %v", m.path, target, m.allowed)
			}
			m.allowed = []string{r.reach[target][i]}
			placed[m.path] = m.allowed[0]
			if err := r.narrow(slices.Concat(m.needs, m.users)); err != nil {
				return nil, err
			}
		}
	}
	return placed, nil
}

// module finds the rule for a module, and where it may be by it.
func (r *Rules) module(path string) *module {
	_, below, _ := strings.Cut(path, "/")
	m := &module{path: path}
	for i := range r.rules {
		if r.rules[i].pattern.MatchString(below) {
			m.rule = &r.rules[i]
			break
		}
	}
	switch {
	case m.rule == nil:
		for name := range r.Packages {
			m.allowed = append(m.allowed, name)
		}
	case m.rule.exact:
		m.allowed = []string{m.rule.target}
	default:
		m.allowed = slices.Clone(r.reach[m.rule.target])
	}
	return m
}

// narrow takes from every module the packages from which it would not reach one
// of its dependencies, or one of its users would not reach it.
func (r *Rules) narrow(todo []*module) error {
	for len(todo) > 0 {
		m := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		before := len(m.allowed)
		m.allowed = slices.DeleteFunc(m.allowed, func(p string) bool {
			return slices.ContainsFunc(m.needs, func(d *module) bool { return !r.reaches([]string{p}, d.allowed) }) ||
				slices.ContainsFunc(m.users, func(u *module) bool { return !r.reaches(u.allowed, []string{p}) })
		})
		if len(m.allowed) == 0 {
			return fmt.Errorf("cannot place %s: its dependencies leave it no package", m.path)
		}
		if len(m.allowed) < before {
			todo = append(append(todo, m.needs...), m.users...)
		}
	}
	return nil
}

// reaches says whether one of the packages is or depends on one of the others.
func (r *Rules) reaches(packages, others []string) bool {
	return slices.ContainsFunc(packages, func(p string) bool {
		return slices.ContainsFunc(r.reach[p], func(q string) bool { return slices.Contains(others, q) })
	})
}

// topological orders modules so that each comes after what it depends on.
func topological(all []*module) []*module {
	var order []*module
	done := make(map[*module]bool, len(all))
	var visit func(m *module)
	visit = func(m *module) {
		if done[m] {
			return
		}
		done[m] = true
		for _, d := range m.needs {
			visit(d)
		}
		order = append(order, m)
	}
	for _, m := range all {
		visit(m)
	}
	return order
}
