// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"cmp"
	"fmt"
	"strings"

	"driverd/kernelbuild"
)

// Why says in a few lines why the module of that name, dashes or underscores, or
// in that file, is where it is: the rule that wanted it somewhere, and who had it moved.
func (s *Split) Why(name string) (string, error) {
	wanted := cmp.Or(kernelbuild.ModuleOfFile(name), kernelbuild.ModuleName(name))
	for _, p := range s.Placements {
		if p.Name() == wanted {
			return p.why(), nil
		}
	}
	return "", fmt.Errorf("cannot say why %s is where it is: no such module in %s", name, s.Release)
}

func (p *Placement) why() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is in %s\n", p.Name(), p.Group)
	fmt.Fprintf(&b, "  file: %s\n", p.Path)
	fmt.Fprintf(&b, "  rule: %s\n", p.Rule.Text)
	for _, l := range p.leaders {
		fmt.Fprintf(&b, "  follows: %s\n", l.Name())
	}
	for _, m := range p.Moves {
		verb := "needs it"
		if m.For == p.askedBy {
			verb = "asks for it by name"
		}
		fmt.Fprintf(&b, "  moved to %s: %s %s (rule: %s)\n", m.To, m.For.Name(), verb, m.For.Rule.Text)
	}
	if needs := p.dependencies(); len(needs) > 0 {
		fmt.Fprintf(&b, "  needs: %s\n", strings.Join(needs, " "))
	}
	return b.String()
}
