// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bytes"
	"io/fs"
	"slices"

	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
)

// Build is the index of a kernel's build, modules.catalog, for who asks about a few of
// its modules: it is searched, not taken apart. The zero Build knows no module.
type Build struct{ text []byte } // whose first line is no module's

// BuildModule is what the index says of a module.
type BuildModule struct {
	File    string   // below /lib/modules/RELEASE
	Depends []string // all that it needs
	Soft    bool     // it has soft dependencies as well
	Aliases []string
}

// ReadBuild reads the index in dir, /lib/modules/RELEASE. The Build is zero if there is
// none, or none that is understood.
func ReadBuild(dir string) (Build, error) {
	text, err := readFile(dir, BuildFile)
	first, _, _ := bytes.Cut(text, []byte("\n"))
	versioned, other := version(first)
	if err != nil || other != nil || versioned && !bytes.Contains(text, []byte("\n"+lastLine+"\n")) {
		return Build{}, err
	}
	return Build{text}, nil
}

// Claiming returns the names of the modules that claim a PCI device, in their order.
func (b Build) Claiming(device string) (modules []string) {
	alias, stanza, prefix := []byte("\nalias "+bus), []byte("\nmodule "), prefixOf(device)
	for at := 0; ; at++ {
		next := bytes.Index(b.text[at:], alias)
		if next < 0 {
			return modules
		}
		at += next
		pattern := lineAt(b.text, at+len(alias)-len(bus))
		if !mayMatch(pattern, prefix) || !modalias.Match(string(pattern), device) {
			continue
		}
		if begins := bytes.LastIndex(b.text[:at], stanza); begins >= 0 {
			name := kernelbuild.ModuleName(string(lineAt(b.text, begins+len(stanza))))
			if !slices.Contains(modules, name) {
				modules = append(modules, name)
			}
		}
	}
}

// Module returns what the index says of a module, and false if it does not know it.
func (b Build) Module(name string) (m BuildModule, known bool) {
	begin := []byte("\nmodule " + kernelbuild.ModuleName(name) + "\n")
	at := bytes.Index(b.text, begin)
	if at < 0 {
		return m, false
	}
	for line := range bytes.Lines(b.text[at+len(begin):]) {
		key, value, ok := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(" "))
		switch string(key) {
		case "file":
			m.File = string(value)
		case "depends":
			m.Depends = append(m.Depends, kernelbuild.ModuleName(string(value)))
		case "softdep":
			m.Soft = true
		case "alias":
			m.Aliases = append(m.Aliases, string(value))
		}
		if !ok {
			break // an empty line ends it
		}
	}
	return m, fs.ValidPath(m.File)
}

// lineAt is the rest of the line at a place in a text.
func lineAt(text []byte, at int) []byte {
	line, _, _ := bytes.Cut(text[at:], []byte("\n"))
	return line
}
