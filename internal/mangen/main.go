// SPDX-License-Identifier: Apache-2.0

// Command mangen writes those parts of the manual pages that have their source
// elsewhere: the reasons in driverd(8), from the journal's catalog, and the interfaces in
// org.fedoraproject.Driverd1(5), from their description in XML. It runs in the root of the
// module. Everything else of the pages is written by hand, in the language of scdoc(5).
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// part is what is made of a source, and stands in a page between two comments.
type part struct {
	page, source string
	make         func(source string) (string, error)
}

var parts = []part{
	{"packaging/man/driverd.8.scd", "units/driverd.catalog", reasons},
	{"packaging/man/org.fedoraproject.Driverd1.5.scd", "api/org.fedoraproject.Driverd1.xml", interfaces},
}

func main() {
	for _, p := range parts {
		text, err := p.text(".")
		if err == nil {
			err = os.WriteFile(p.page, []byte(text), 0o644)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "mangen: cannot make %s: %v\n", p.page, err)
			os.Exit(1)
		}
	}
}

// text returns the page with the part made anew.
func (p part) text(root string) (string, error) {
	page, err := os.ReadFile(filepath.Join(root, p.page))
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(filepath.Join(root, p.source))
	if err != nil {
		return "", err
	}
	begin, end := "; Made by make docs from "+p.source+": write there.\n", "; End of what make docs makes.\n"
	before, rest, begins := strings.Cut(string(page), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return "", fmt.Errorf("it lacks the lines between which the part is:\n%s%s", begin, end)
	}
	made, err := p.make(string(source))
	return before + begin + "\n" + made + end + after, err
}

// width is how long a line of a page's source may be.
const width = 88

var (
	// Within a word _ means itself.
	escapes = regexp.MustCompile(`[\\*]|\b_|_\b`)
	// What is set in bold: `commands` and pages(8); underlined: the names of files.
	markup = regexp.MustCompile("`([^`]+)`" + `|\b([\w.-]+)(\(\d\))|(^|[\s(])(/[\w/.@-]*\w)`)
	amount = regexp.MustCompile(`(\d) (kB|MB|GB)\b`)
	// A line that begins so is more than text.
	special = regexp.MustCompile(`^[-#.;\[|\]]`)
)

// marked is a piece of plain text in scdoc's language. A number and its unit stay on one line.
func marked(text string) string {
	text = amount.ReplaceAllString(escapes.ReplaceAllString(text, `\$0`), "$1\u00a0$2")
	return markup.ReplaceAllStringFunc(text, func(match string) string {
		m := markup.FindStringSubmatch(match)
		switch {
		case m[1] != "":
			return "*" + m[1] + "*"
		case m[2] != "":
			return "*" + m[2] + "*" + m[3]
		default:
			return m[4] + "_" + m[5] + "_"
		}
	})
}

// paragraph sets a paragraph of plain text behind an indent of so many tabs.
func paragraph(text string, indent int) string {
	tabs := strings.Repeat("\t", indent)
	var out, line strings.Builder
	for _, word := range strings.FieldsFunc(marked(text), func(r rune) bool { return r == ' ' || r == '\n' }) {
		if line.Len() > 0 && line.Len()+1+len(word) > width-4*indent && !special.MatchString(word) {
			out.WriteString(tabs + line.String() + "\n")
			line.Reset()
		}
		if line.Len() > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(word)
	}
	return out.String() + tabs + line.String() + "\n\n"
}
