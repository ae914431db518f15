// SPDX-License-Identifier: Apache-2.0

// Command mangen makes what of the man pages has its source elsewhere: the page
// of the D-Bus interface from its description, and the reasons in driverd(8)
// from the journal's catalog. It is run in the root of the module; its test
// sees that the files are what it makes.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// pages are the files that are made, in the root of the module.
var pages = map[string]func(root string) (string, error){
	"packaging/man/driverd.8":                    reasonsPage,
	"packaging/man/org.fedoraproject.Driverd1.5": interfacePage,
}

func main() {
	for path, page := range pages {
		text, err := page(".")
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "mangen: cannot make %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

func read(root, path string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, path))
	return string(text), err
}

var (
	specVersion = regexp.MustCompile(`(?m)^Version: +(\S+)$`)
	specDate    = regexp.MustCompile(`(?m)^\* (\w{3} \w{3} \d\d \d{4}) `)
)

// release returns the version of driverd and its date, as the spec has them.
func release(root string) (version, date string, err error) {
	spec, err := read(root, "packaging/driverd.spec")
	if err != nil {
		return "", "", err
	}
	v, d := specVersion.FindStringSubmatch(spec), specDate.FindStringSubmatch(spec)
	if v == nil || d == nil {
		return "", "", fmt.Errorf("packaging/driverd.spec has no version or no changelog")
	}
	day, err := time.Parse("Mon Jan 02 2006", d[1])
	return v[1], day.Format(time.DateOnly), err
}

// width is how long a line of a page's source may be.
const width = 78

var (
	escapes = strings.NewReplacer(`\`, `\e`, "~", `\(ti`, "^", `\(ha`)
	// What is set in bold: `commands` and pages(8); in italics: the names of files.
	markup = regexp.MustCompile("`([^`]+)`" + `|\b([\w.-]+)(\(\d\))|(^|[ (])(/[\w/.@-]*\w)`)
)

// roff sets a piece of plain text.
func roff(text string) string {
	text = strings.ReplaceAll(escapes.Replace(text), "--", `\-\-`)
	return markup.ReplaceAllStringFunc(text, func(match string) string {
		m := markup.FindStringSubmatch(match)
		switch {
		case m[1] != "":
			return `\fB` + hyphens(m[1]) + `\fR`
		case m[2] != "":
			return `\fB` + hyphens(m[2]) + `\fR` + m[3]
		default:
			return m[4] + `\fI` + hyphens(m[5]) + `\fR`
		}
	})
}

// hyphens keeps what is typed from being set with typographic hyphens.
func hyphens(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, `\-`, "-"), "-", `\-`)
}

// fill breaks text into lines of the source, none of which is a request.
func fill(text string) string {
	var out, line strings.Builder
	flush := func() {
		if line.Len() > 0 {
			out.WriteString(line.String() + "\n")
			line.Reset()
		}
	}
	for _, word := range strings.Fields(roff(text)) {
		if line.Len()+1+len(word) > width {
			flush()
		}
		switch {
		case line.Len() > 0:
			line.WriteByte(' ')
		case strings.HasPrefix(word, ".") || strings.HasPrefix(word, "'"):
			line.WriteString(`\&`)
		}
		line.WriteString(word)
	}
	flush()
	return out.String()
}
