// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"fmt"
	"strings"
)

// CatalogFile is the index of the whole build: what depmod's files say, for
// the modules that are not installed too. It is for kernels whose packages
// carry no modalias() Provides, and for questions that those do not answer: they
// name no module. The base holds it, beside depmod's files.
//
// Its first line names the version of the form and the release, its last line says
// that nothing is missing. Between them is one stanza for each module, ordered by path
// and separated by empty lines, of lines KEY VALUE: module NAME, group, file, then
// depends, softdep, firmware and alias as often as they apply.
const CatalogFile = "modules.catalog"

// The first and the last line of an index of modules; hwdetect/kmod reads them.
const (
	indexHead = "# driverd modules 1 of %s\n"
	indexEnd  = "\n# end\n"
)

// stanzas writes the stanzas of an index.
type stanzas struct{ strings.Builder }

// module begins the stanza of a module.
func (s *stanzas) module(name string) { fmt.Fprintf(s, "\nmodule %s\n", name) }

// lines adds a line for each value.
func (s *stanzas) lines(key string, values ...string) {
	for _, value := range values {
		fmt.Fprintf(s, "%s %s\n", key, value)
	}
}

func (s *Split) catalog() string {
	var text stanzas
	fmt.Fprintf(&text, indexHead, "Linux "+s.Release)
	for _, p := range s.Placements {
		text.module(p.Name())
		text.lines("group", string(p.Group))
		text.lines("file", p.Path)
		text.lines("depends", p.Depends...)
		text.lines("softdep", p.SoftDepends...)
		text.lines("firmware", p.Firmware...)
		text.lines("alias", p.Aliases...)
	}
	return text.String() + indexEnd
}
