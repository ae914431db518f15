// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	_ "embed" // for default.rules
	"errors"
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

// Rule is one line of a rules file: a group, then conditions that must all
// hold. A condition is KEY=PATTERN[,PATTERN...] and holds if one pattern does:
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
type Rule struct {
	Group      Group
	Text       string // the line, for people
	conditions []condition
}

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
		rules = append(rules, rule)
	}
	return rules, nil
}

func parseRule(fields []string) (Rule, error) {
	group, err := ParseGroup(fields[0])
	if err != nil {
		return Rule{}, err
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

// match returns the first rule for m. needs are the modules that m depends on,
// directly or not. It is an error if there is none, or if a further rule names
// m as the first does and sends it to another group: one of them is idle.
func (rules Rules) match(m *Module, needs []*Module) (*Rule, error) {
	var first *Rule
	for i := range rules {
		r := &rules[i]
		if slices.ContainsFunc(r.conditions, func(c condition) bool { return !c.holds(m, needs) }) {
			continue
		}
		if first == nil {
			first = r
		}
		if first.names(m) && r.names(m) && first.Group != r.Group {
			return nil, fmt.Errorf("rules %q and %q both name it", first.Text, r.Text)
		}
	}
	if first == nil {
		return nil, errors.New("no rule matches it")
	}
	return first, nil
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
