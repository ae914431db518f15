// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"driverd/plan"
)

// file is the form of a file.
type file struct {
	Mode        *string  `toml:"mode"`
	IgnoreGates []string `toml:"ignore_gates"`
	StopDNF     *bool    `toml:"stop_dnf5daemon"`
	IdleExit    *string  `toml:"idle_exit"`
	Children    *string  `toml:"children"`
	Vendors     []string `toml:"vendors"`
	Rule        []rule   `toml:"rule"`
	Hold        struct {
		Packages []string `toml:"packages"`
	} `toml:"hold"`
}

type rule struct {
	Action string   `toml:"action"`
	Slot   []string `toml:"slot"`
	ID     []string `toml:"id"`
	Class  []string `toml:"class"`
	Group  []string `toml:"group"`
	Module []string `toml:"module"`
}

// add takes over what the text of a file says. If anything is wrong with it, the
// error says all of it.
func (c *Config) add(root, path string, text []byte) error {
	var f file
	r, err := decode(path, text, &f)
	if err != nil {
		return err
	}
	if f.Mode != nil {
		c.Observe = r.mode(*f.Mode)
	}
	if f.StopDNF != nil {
		c.StopBackend = f.StopDNF
	}
	if f.IdleExit != nil {
		c.IdleExit = r.idleExit(*f.IdleExit)
	}
	if f.Children != nil {
		c.Policy.InstallForChildren = r.children(*f.Children)
	}
	c.IgnoreGates = append(c.IgnoreGates, r.values("ignore_gates", f.IgnoreGates, parseGate)...)
	c.enable(&r, root, f.Vendors)
	for i, from := range f.Rule {
		c.Policy.Rules = append(c.Policy.Rules, r.rule(fmt.Sprintf("rule.%d", i), from))
	}
	for _, name := range r.values("hold.packages", f.Hold.Packages, parsePackage) {
		c.Policy.Holds = append(c.Policy.Holds, plan.Hold{Package: name, Origin: r.origin("hold.packages")})
	}
	return errors.Join(r.problems...)
}

// decode reads the text of a file into its form.
func decode(path string, text []byte, form any) (reading, error) {
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(form); err != nil {
		return reading{}, malformed(path, err)
	}
	return reading{path: path, lines: linesOf(text)}, nil
}

// malformed gives what go-toml complains of its place.
func malformed(path string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var all []error
		for _, e := range unknown.Errors {
			row, column := e.Position()
			all = append(all, fmt.Errorf("%s:%d:%d: unknown key %q", path, row, column, strings.Join(e.Key(), ".")))
		}
		return errors.Join(all...)
	}
	text := strings.TrimPrefix(err.Error(), "toml: ")
	var e *toml.DecodeError
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %s", path, text)
	}
	row, column := e.Position()
	if key := strings.Join(e.Key(), "."); key != "" {
		text = key + ": " + text
	}
	return fmt.Errorf("%s:%d:%d: %s", path, row, column, text)
}

// reading is a well-formed file whose values are looked at.
type reading struct {
	path     string
	lines    map[string]int
	problems []error
}

func (r *reading) origin(key string) plan.Origin {
	return plan.Origin{File: r.path, Line: lineOf(r.lines, key)}
}

func (r *reading) complain(key, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s: %s", r.origin(key), fmt.Sprintf(format, args...)))
}

func (r *reading) mode(value string) (observe bool) {
	if value != "auto" && value != "observe" {
		r.complain("mode", `cannot read %.80q as a mode: want "auto" or "observe"`, value)
	}
	return value == "observe"
}

// idleExit reads whether the service ends when it has nothing to do; nil leaves it to the
// guest's memory.
func (r *reading) idleExit(value string) *bool {
	always := value == "always"
	switch value {
	case "always", "never":
		return &always
	case "auto":
	default:
		r.complain("idle_exit", `cannot read %.80q: want "auto", "always" or "never"`, value)
	}
	return nil
}

func (r *reading) children(value string) (install bool) {
	if value != "report" && value != "install" {
		r.complain("children", `cannot read %.80q: want "report" or "install"`, value)
	}
	return value == "install"
}

func (r *reading) rule(key string, from rule) plan.Rule {
	if from.Action != "allow" && from.Action != "deny" {
		r.complain(key+".action", `cannot read %.80q as the action of a rule: want "allow" or "deny"`, from.Action)
	}
	return plan.Rule{
		Allow:   from.Action == "allow",
		Slots:   r.values(key+".slot", from.Slot, parseSlot),
		IDs:     r.values(key+".id", from.ID, parseID),
		Classes: r.values(key+".class", from.Class, parseClass),
		Groups:  r.values(key+".group", from.Group, parseGroup),
		Modules: r.values(key+".module", from.Module, parseModule),
		Origin:  r.origin(key),
	}
}

// values reads a list. An empty one would be a condition that nothing meets, but
// looks like one that everything does.
func (r *reading) values(key string, from []string, parse func(string) (string, error)) []string {
	if from != nil && len(from) == 0 {
		r.complain(key, "the list is empty: name something, or leave it out")
	}
	var all []string
	for _, text := range from {
		value, err := parse(text)
		if err != nil {
			r.complain(key, "%v", err)
		}
		all = append(all, value)
	}
	return all
}
