// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bytes"
	"slices"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
)

// shipped are those modules of a build that claim PCI devices.
type shipped struct {
	modules []hwdetect.Module
	aliases *modalias.Table // its values are indexes into modules
}

// readShipped reads modules.catalog; see CatalogFile of packaging/kernel for its
// form. A stanza without a sensible name, lines out of place and keys that are
// not known are passed over.
func readShipped(dir, prefix string) (shipped, error) {
	text, err := readFile(dir, shippedFile)
	if err != nil {
		return shipped{}, err
	}
	b := shippedBuilder{prefix: prefix, known: make(map[string]int), strings: make(map[string]string)}
	for line := range bytes.Lines(text) {
		b.line(bytes.TrimSuffix(line, []byte("\n")))
	}
	b.end()
	return b.build(), nil
}

func (s shipped) of(name string) []hwdetect.Module {
	if s.aliases == nil {
		return nil
	}
	var room [4]int // more modules claim hardly any device
	var modules []hwdetect.Module
	for _, i := range s.aliases.AppendMatches(room[:0], name) {
		modules = append(modules, s.modules[i])
	}
	return modules
}

func (s shipped) claims(name string) []hwdetect.Claim {
	if s.aliases == nil {
		return nil
	}
	var claims []hwdetect.Claim
	for _, c := range s.aliases.Claims(name) {
		claims = append(claims, hwdetect.Claim{Module: s.modules[c.Value].Name, Alias: c.Pattern, Shipped: true})
	}
	return claims
}

// stanza is what modules.catalog says about one module.
type stanza struct {
	hwdetect.Module          // with its own firmware alone
	depends         []string // all of them: depmod lists them transitively
	aliases         []string // those that a PCI device can match
}

// shippedBuilder collects the stanzas of those modules that claim a device or ask
// for firmware: of thousands most do neither.
type shippedBuilder struct {
	prefix  string
	stanzas []stanza
	known   map[string]int    // index of a module's stanza
	strings map[string]string // one of each: most names and groups come often

	// The stanza that is being read, as it stands in the file; no name if none is.
	name, group                []byte
	depends, firmware, aliases [][]byte
}

func (b *shippedBuilder) line(line []byte) {
	key, value, _ := bytes.Cut(line, []byte(" "))
	isAlias := string(key) == "alias" // of which most are not wanted
	switch {
	case len(line) == 0:
		b.end()
	case string(key) == "module":
		b.end()
		if isWord(value) && !bytes.ContainsRune(value, '/') {
			b.name = value
		}
	case isAlias && !mayMatch(value, b.prefix), !isWord(value):
	case isAlias:
		b.aliases = append(b.aliases, value)
	case string(key) == "group":
		b.group = value
	case string(key) == "depends":
		b.depends = append(b.depends, value)
	case string(key) == "firmware":
		b.firmware = append(b.firmware, value)
	}
}

// end keeps the stanza that has been read, or adds it to what the module has.
func (b *shippedBuilder) end() {
	if len(b.name) > 0 && len(b.aliases)+len(b.firmware) > 0 {
		name := normalize(b.intern(b.name))
		i, known := b.known[name]
		if !known {
			i = len(b.stanzas)
			b.stanzas = append(b.stanzas, stanza{Module: hwdetect.Module{Name: name}})
			b.known[name] = i
		}
		s := &b.stanzas[i]
		if len(b.group) > 0 {
			s.Group = b.intern(b.group)
		}
		for _, value := range b.depends {
			s.depends = append(s.depends, b.intern(value))
		}
		for _, value := range b.firmware {
			s.Firmware = append(s.Firmware, b.intern(value))
		}
		for _, value := range b.aliases {
			s.aliases = append(s.aliases, string(value))
		}
	}
	b.name, b.group = nil, nil
	b.depends, b.firmware, b.aliases = b.depends[:0], b.firmware[:0], b.aliases[:0]
}

func (b *shippedBuilder) intern(value []byte) string {
	s, known := b.strings[string(value)]
	if !known {
		s = string(value)
		b.strings[s] = s
	}
	return s
}

// build keeps the modules that claim PCI devices, with the firmware of those
// that they depend on: many a driver's is asked for by a library of its.
func (b *shippedBuilder) build() shipped {
	var all shipped
	var aliases modalias.Builder
	for _, s := range b.stanzas {
		if len(s.aliases) == 0 {
			continue
		}
		for _, pattern := range s.aliases {
			aliases.Add(pattern, len(all.modules))
		}
		for _, name := range s.depends {
			i, known := b.known[normalize(name)]
			if !known {
				continue
			}
			for _, file := range b.stanzas[i].Firmware {
				if !slices.Contains(s.Firmware, file) {
					s.Firmware = append(s.Firmware, file)
				}
			}
		}
		s.Firmware = slices.Clip(s.Firmware)
		all.modules = append(all.modules, s.Module)
	}
	all.aliases = aliases.Build()
	return all
}

// maxWord is more than anything has that a kernel's build names (PATH_MAX).
const maxWord = 4096

// isWord says whether something is printable ASCII without a space, as all that
// is read here is.
func isWord(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0 && len(b) < maxWord
}
