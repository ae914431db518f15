// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/internal/tree"
	"driverd/kernelbuild"
)

// shipped are those modules of a build that claim PCI devices.
type shipped struct {
	modules []hwdetect.Module
	aliases *modalias.Table // its values are indexes into modules
}

// readShipped reads modules.catalog; see CatalogFile of kernelsplit for its
// form. A stanza without a sensible name, lines out of place and keys that are
// not known are passed over. It is read line by line, as it describes thousands of
// modules, of which few are kept.
func readShipped(dir, prefix string) (shipped, error) {
	f, err := tree.At(dir).Open(shippedFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return shipped{}, nil
	}
	if err != nil {
		return shipped{}, fmt.Errorf("cannot read the index of kernel modules: %w", err)
	}
	defer func() { _ = f.Close() }()
	b := shippedBuilder{prefix: prefix, known: make(map[string]int), strings: make(map[string]string)}
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadSlice('\n')
		switch whole := bytes.TrimRight(line, "\n"); {
		case errors.Is(err, bufio.ErrBufferFull): // no line of ours is that long
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = lines.ReadSlice('\n')
			}
		default:
			b.line(whole)
		}
		if err == io.EOF {
			b.end()
			return b.build(), nil
		}
		if err != nil {
			return shipped{}, fmt.Errorf("cannot read the index of kernel modules: %w", err)
		}
	}
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

	stanza stanza // that is being read; without a name if none is
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
			b.stanza.Name = b.intern(value)
		}
	case isAlias && !mayMatch(value, b.prefix), !isWord(value):
	case isAlias:
		b.stanza.aliases = append(b.stanza.aliases, string(value))
	case string(key) == "group":
		b.stanza.Group = b.intern(value)
	case string(key) == "depends":
		b.stanza.depends = append(b.stanza.depends, b.intern(value))
	case string(key) == "firmware":
		b.stanza.Firmware = append(b.stanza.Firmware, b.intern(value))
	}
}

// end keeps the stanza that has been read, or adds it to what the module has.
func (b *shippedBuilder) end() {
	s := &b.stanza
	if s.Name != "" && len(s.aliases)+len(s.Firmware) > 0 {
		name := kernelbuild.ModuleName(s.Name)
		i, known := b.known[name]
		if !known {
			i = len(b.stanzas)
			b.stanzas = append(b.stanzas, stanza{Module: hwdetect.Module{Name: name}})
			b.known[name] = i
		}
		all := &b.stanzas[i]
		all.Group = cmp.Or(s.Group, all.Group)
		all.depends = append(all.depends, s.depends...)
		all.Firmware = append(all.Firmware, s.Firmware...)
		all.aliases = append(all.aliases, s.aliases...)
	}
	// What is not kept leaves its room to the next one.
	*s = stanza{depends: s.depends[:0], aliases: s.aliases[:0], Module: hwdetect.Module{Firmware: s.Firmware[:0]}}
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
			i, known := b.known[kernelbuild.ModuleName(name)]
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

// isWord says whether something is printable ASCII without a space, as all that
// is read here is.
func isWord(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}
