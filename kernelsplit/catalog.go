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
// It has one stanza for each module, ordered by path and separated by empty
// lines, of lines KEY VALUE: module NAME, group, file, then depends, softdep,
// firmware and alias as often as they apply. Its first line is a comment that
// names the release.
const CatalogFile = "modules.catalog"

func (s *Split) catalog() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# modules of Linux %s\n", s.Release)
	for _, p := range s.Placements {
		fmt.Fprintf(&b, "\nmodule %s\ngroup %s\nfile %s\n", p.Name(), p.Group, p.Path)
		for _, list := range []struct {
			key    string
			values []string
		}{{"depends", p.Depends}, {"softdep", p.SoftDepends}, {"firmware", p.Firmware}, {"alias", p.Aliases}} {
			for _, value := range list.values {
				fmt.Fprintf(&b, "%s %s\n", list.key, value)
			}
		}
	}
	return b.String()
}
