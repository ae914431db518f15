// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// linesOf says on which line of a well-formed file which key stands: "mode",
// "hold.packages", "rule.0" (the table itself), "rule.0.slot". What go-toml has
// decoded does not tell that any more; hence its parser, whose interface may
// change with a new version: the tests hold what it is used for.
func linesOf(text []byte) map[string]int {
	lines := make(map[string]int)
	rules, line, counted := 0, 1, 0
	note := func(key string, n *unstable.Node) { // in the order of the file
		line += bytes.Count(text[counted:n.Raw.Offset], []byte("\n"))
		counted = int(n.Raw.Offset)
		lines[key] = line
	}
	var p unstable.Parser
	p.Reset(text)
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.Table && e.Kind != unstable.ArrayTable && e.Kind != unstable.KeyValue {
			continue
		}
		key, first := keyOf(e)
		switch e.Kind {
		case unstable.KeyValue:
			note(table+key, first)
			continue
		case unstable.ArrayTable:
			key = fmt.Sprintf("%s.%d", key, rules)
			rules++
		}
		note(key, first)
		table = key + "."
	}
	return lines
}

// keyOf returns the dotted key of an expression, and its first part.
func keyOf(e *unstable.Node) (string, *unstable.Node) {
	var parts []string
	var first *unstable.Node
	for it := e.Key(); it.Next(); {
		if first == nil {
			first = it.Node()
		}
		parts = append(parts, string(it.Node().Data))
	}
	return strings.Join(parts, "."), first
}

// lineOf returns the line of a key, or of the table that it is in.
func lineOf(lines map[string]int, key string) int {
	for {
		if line, ok := lines[key]; ok {
			return line
		}
		dot := strings.LastIndexByte(key, '.')
		if dot < 0 {
			return 1
		}
		key = key[:dot]
	}
}
