// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import "strings"

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

// indexEnd is the last line of an index of modules; hwdetect/kmod reads it.
const indexEnd = "\n# end\n"

// stanzas writes an index of modules.
type stanzas struct{ strings.Builder }

// head begins the index of the modules of something.
func (s *stanzas) head(of string) { s.WriteString("# driverd modules 1 of " + of + "\n") }

// module begins the stanza of a module.
func (s *stanzas) module(name string) { s.WriteString("\nmodule " + name + "\n") }

// lines adds a line for each value.
func (s *stanzas) lines(key string, values ...string) {
	for _, value := range values {
		s.WriteString(key + " " + value + "\n")
	}
}

func (s *Split) catalog() string {
	var text stanzas
	text.head("Linux " + s.Release)
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
