// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// dbusInterface is an interface of the description with what the comments
// before its elements say, in the style of gdbus-codegen(1).
type dbusInterface struct {
	name    string
	doc     doc
	members []member
}

// member is a property, method or signal.
type member struct {
	kind, name, signature string
	arguments             []argument
	doc                   doc
}

type argument struct{ name, signature, direction string }

// doc is a comment: what it says about each argument, and its paragraphs.
type doc struct {
	tags       []tag
	paragraphs []string // lines and their indent as they are written
}

type tag struct{ name, text string }

// interfaces sets the interfaces of a description.
func interfaces(description string) (string, error) {
	all, err := parse(description)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, i := range all {
		out.WriteString(i.text())
	}
	return out.String(), nil
}

func parse(description string) ([]dbusInterface, error) {
	var all []dbusInterface
	var comment string
	for decoder := xml.NewDecoder(strings.NewReader(description)); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.Comment:
			comment = string(token)
		case xml.StartElement:
			attributes := make(map[string]string)
			for _, a := range token.Attr {
				attributes[a.Name.Local] = a.Value
			}
			name := attributes["name"]
			switch kind := token.Name.Local; kind {
			case "interface":
				all = append(all, dbusInterface{name: name, doc: parseDoc(name, comment)})
			case "property", "method", "signal":
				last := &all[len(all)-1]
				last.members = append(last.members, member{
					kind: kind, name: name, signature: attributes["type"], doc: parseDoc(name, comment),
				})
			case "arg":
				members := all[len(all)-1].members
				m := &members[len(members)-1]
				m.arguments = append(m.arguments, argument{name, attributes["type"], attributes["direction"]})
				continue
			}
			if comment == "" && token.Name.Local != "node" {
				return nil, fmt.Errorf("%s %s has no documentation", token.Name.Local, name)
			}
			comment = ""
		}
	}
}

var (
	tagLine  = regexp.MustCompile(`^@(\w+): *(.*)`)
	indented = regexp.MustCompile(`^( *)\S`)
)

func parseDoc(name, comment string) doc {
	var d doc
	var head bool
	for n, paragraph := range emptyLine.Split(strings.Trim(strings.TrimRight(comment, " "), "\n"), -1) {
		lines := strings.Split(dedent(paragraph), "\n")
		if n == 0 && strings.TrimSpace(lines[0]) == name+":" {
			head, lines = true, lines[1:]
		}
		if !head || n > 0 {
			d.paragraphs = append(d.paragraphs, strings.Join(lines, "\n"))
			continue
		}
		for _, line := range lines {
			if m := tagLine.FindStringSubmatch(line); m != nil {
				d.tags = append(d.tags, tag{m[1], m[2]})
			} else if len(d.tags) > 0 {
				d.tags[len(d.tags)-1].text += " " + strings.TrimSpace(line)
			}
		}
	}
	return d
}

// dedent takes away the indent of the first line from each.
func dedent(paragraph string) string {
	indent := ""
	if m := indented.FindStringSubmatch(paragraph); m != nil {
		indent = m[1]
	}
	lines := strings.Split(paragraph, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, indent)
	}
	return strings.Join(lines, "\n")
}

func (i dbusInterface) text() string {
	var out strings.Builder
	title := strings.TrimPrefix(i.name, "org.fedoraproject.Driverd1.")
	fmt.Fprintf(&out, "# %s INTERFACE\n\n", strings.ToUpper(title))
	for _, t := range i.doc.tags {
		if t.name == "short_description" {
			out.WriteString(paragraph("`"+i.name+"` \u2014 "+t.text+".", 0))
		}
	}
	out.WriteString(paragraphs(i.doc.paragraphs, 0))
	for _, kind := range []struct{ name, title string }{{"property", "Properties"}, {"method", "Methods"}, {"signal", "Signals"}} {
		titled := false
		for _, m := range i.members {
			if m.kind != kind.name {
				continue
			}
			if !titled {
				fmt.Fprintf(&out, "## %s\n\n", kind.title)
				titled = true
			}
			out.WriteString(m.text())
		}
	}
	return out.String()
}

func (m member) text() string {
	var out strings.Builder
	if m.kind == "property" {
		fmt.Fprintf(&out, "*%s* %s\n", m.name, m.signature)
	} else {
		var in, back []string
		for _, a := range m.arguments {
			text := "_" + a.name + "_ " + a.signature
			if a.direction == "out" {
				back = append(back, text)
			} else {
				in = append(in, text)
			}
		}
		fmt.Fprintf(&out, "*%s*(%s)", m.name, strings.Join(in, ", "))
		if len(back) > 0 {
			fmt.Fprintf(&out, " \u2192 %s", strings.Join(back, ", "))
		}
		out.WriteString("\n")
	}
	out.WriteString(paragraphs(m.doc.paragraphs, 1))
	for _, t := range m.doc.tags {
		fmt.Fprintf(&out, "\t_%s_\n%s", t.name, paragraph(t.text, 2))
	}
	return out.String()
}

// keyLine begins what is said about one key, or several, of a dictionary:
// "Vendor", "Product" s: names from pci.ids.
var keyLine = regexp.MustCompile(`^("\w+"(?:, "\w+")* [a-z(){}]+): *(.*)`)

// paragraphs sets the paragraphs of a comment; a paragraph of keys becomes a
// list.
func paragraphs(all []string, indent int) string {
	var out strings.Builder
	for _, text := range all {
		if !keyLine.MatchString(text) {
			out.WriteString(paragraph(text, indent))
			continue
		}
		var keys []tag
		for line := range strings.SplitSeq(text, "\n") {
			if m := keyLine.FindStringSubmatch(line); m != nil {
				keys = append(keys, tag{m[1], m[2]})
			} else {
				keys[len(keys)-1].text += " " + strings.TrimSpace(line)
			}
		}
		for _, k := range keys {
			out.WriteString(strings.Repeat("\t", indent+1) + k.name + "\n" + paragraph(k.text, indent+2))
		}
	}
	return out.String()
}
