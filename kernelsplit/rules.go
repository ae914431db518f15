// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"cmp"
	_ "embed" // for default.rules
	"fmt"
	"path"
	"slices"
	"strings"

	"driverd/kernelbuild"
)

//go:embed default.rules
var defaultRules string

// DefaultRules returns the rules that this package ships.
func DefaultRules() Rules {
	rules, err := ParseRules(defaultRules)
	if err != nil {
		panic(err) // the text is part of the program, and tested
	}
	return rules
}

// Rules say which group a module wants to be in. The first that matches wins.
type Rules []Rule

// Rule is one line of a rules file: a group, or "follow", then conditions that
// must all hold. A condition is KEY=PATTERN[,PATTERN...] and holds if one pattern does:
//
//	path     the module's file without compression suffix; a pattern that ends
//	         in "/" stands for everything below
//	name     the module's name
//	alias    one of its aliases
//	imports  a symbol that it, or a module that it depends on, takes from elsewhere
//	depends  the name of a module that it depends on, soft dependencies included
//
// Patterns are those of path.Match; in names a dash is an underscore. "#"
// starts a comment.
//
// A rule that has a module's whole name is an exception made for that module:
// nothing may contradict it, no other such rule and no dependency.
//
// "follow" puts a module where the drivers are that it belongs to: the parents
// of the devices that it drives (see Module.parents), or else the drivers of
// cards that it depends on. The rule does not match where there are none.
type Rule struct {
	Group      Group
	Text       string // the line, for people
	Line       int    // its number, from 1; 0 for Unknown
	conditions []condition
}

// follow stands for a group in a rule: see Rule.
const follow Group = "follow"

// Unknown is the rule for modules that no rule matches.
var Unknown = &Rule{Group: Hardware, Text: string(Hardware) + ", as no rule matches it"}

// String names the rule in errors.
func (r *Rule) String() string { return fmt.Sprintf("%q (line %d)", r.Text, r.Line) }

type condition struct {
	key      string
	patterns []string
}

// ParseRules reads a rules file. Errors name the line.
func ParseRules(text string) (Rules, error) {
	var rules Rules
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		rule, err := parseRule(fields)
		if err != nil {
			return nil, fmt.Errorf("cannot read rule in line %d: %w", i+1, err)
		}
		rule.Line = i + 1
		if err := rules.contradicted(&rule); err != nil {
			return nil, fmt.Errorf("cannot read rule in line %d: %w", i+1, err)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// contradicted is an error if a rule above sends a module that both name, and
// ask nothing else of, to another group.
func (rules Rules) contradicted(r *Rule) error {
	for _, name := range r.onlyNames() {
		for i := range rules {
			if rules[i].Group != r.Group && slices.Contains(rules[i].onlyNames(), name) {
				return fmt.Errorf("%q names %s, and so does %v", r.Text, name, &rules[i])
			}
		}
	}
	return nil
}

// onlyNames lists the whole names of a rule that has no other condition.
func (r *Rule) onlyNames() []string {
	if len(r.conditions) != 1 || r.conditions[0].key != "name" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.conditions[0].patterns), func(p string) bool { return strings.ContainsAny(p, `*?[\\`) })
}

func parseRule(fields []string) (Rule, error) {
	group := Group(fields[0])
	if group != follow {
		var err error
		if group, err = ParseGroup(fields[0]); err != nil {
			return Rule{}, err
		}
	}
	rule := Rule{Group: group, Text: strings.Join(fields, " ")}
	if len(fields) == 1 {
		return Rule{}, fmt.Errorf("%q has no condition", rule.Text)
	}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		c := condition{key: key, patterns: strings.Split(value, ",")}
		if !slices.Contains([]string{"path", "name", "alias", "imports", "depends"}, key) {
			return Rule{}, fmt.Errorf("unknown condition %q", field)
		}
		for i, p := range c.patterns {
			if _, err := path.Match(p, ""); err != nil || p == "" {
				return Rule{}, fmt.Errorf("bad pattern %q in %q", p, field)
			}
			if key == "name" || key == "depends" {
				c.patterns[i] = kernelbuild.ModulePattern(p)
			}
		}
		rule.conditions = append(rule.conditions, c)
	}
	return rule, nil
}

// match returns the first rule for m, or Unknown. needs are the modules that m
// depends on, directly or not; follows says whether there is a driver that m can
// follow. It is an error if a further rule names m as the first does and sends it
// to another group: one of them is idle.
func (rules Rules) match(m *Module, needs []*Module, follows bool) (*Rule, error) {
	var first *Rule
	for i := range rules {
		r := &rules[i]
		if r.Group == follow && !follows ||
			slices.ContainsFunc(r.conditions, func(c condition) bool { return !c.holds(m, needs) }) {
			continue
		}
		if first == nil {
			first = r
		}
		if first.names(m) && r.names(m) && first.Group != r.Group {
			return nil, fmt.Errorf("rules %v and %v both name it", first, r)
		}
	}
	return cmp.Or(first, Unknown), nil
}

// names says whether the rule is an exception made for m: one that has its
// name, not just a pattern.
func (r *Rule) names(m *Module) bool {
	return slices.ContainsFunc(r.conditions, func(c condition) bool {
		return c.key == "name" && slices.Contains(c.patterns, m.Name())
	})
}

func (c condition) holds(m *Module, needs []*Module) bool {
	switch c.key {
	case "path":
		return c.matches(m.uncompressedPath())
	case "name":
		return c.matches(m.Name())
	case "alias":
		return slices.ContainsFunc(m.Aliases, c.matches)
	case "imports":
		return slices.ContainsFunc(m.Imports, c.matches) ||
			slices.ContainsFunc(needs, func(n *Module) bool { return slices.ContainsFunc(n.Imports, c.matches) })
	default: // depends
		return slices.ContainsFunc(needs, func(n *Module) bool { return c.matches(n.Name()) })
	}
}

func (c condition) matches(s string) bool {
	return slices.ContainsFunc(c.patterns, func(p string) bool {
		if c.key == "path" && strings.HasSuffix(p, "/") {
			return strings.HasPrefix(s, p)
		}
		ok, _ := path.Match(p, s)
		return ok
	})
}
