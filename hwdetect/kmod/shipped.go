// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
// not known are passed over. It is read line by line, as it describes
// thousands of modules, of which few are kept.
func readShipped(dir, prefix string) (shipped, error) {
	f, err := os.Open(filepath.Join(dir, shippedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return shipped{}, nil
	}
	if err != nil {
		return shipped{}, fmt.Errorf("cannot read the index of kernel modules: %w", err)
	}
	defer func() { _ = f.Close() }()
	b := shippedBuilder{prefix: prefix, known: make(map[string]int), strings: make(map[string]string), current: -1}
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

// shippedBuilder collects the stanzas.
type shippedBuilder struct {
	prefix  string
	stanzas []stanza
	known   map[string]int    // index of a module's stanza
	strings map[string]string // one of each: most names and groups come often
	current int               // stanza that a line belongs to, -1 if none
}

func (b *shippedBuilder) line(line []byte) {
	key, value, _ := bytes.Cut(line, []byte(" "))
	if len(line) == 0 {
		b.current = -1
	}
	if string(key) == "module" {
		b.begin(value)
	}
	isAlias := string(key) == "alias" // of which most are not wanted
	if b.current < 0 || isAlias && !mayMatch(value, b.prefix) || !isWord(value) {
		return
	}
	s := &b.stanzas[b.current]
	switch string(key) {
	case "group":
		s.Group = b.intern(value)
	case "depends":
		s.depends = append(s.depends, b.intern(value))
	case "firmware":
		s.Firmware = append(s.Firmware, b.intern(value))
	case "alias":
		s.aliases = append(s.aliases, string(value))
	}
}

// begin begins the stanza of a module, or goes on with the one it has.
func (b *shippedBuilder) begin(module []byte) {
	b.current = -1
	if !isWord(module) || bytes.ContainsRune(module, '/') {
		return
	}
	name := normalize(b.intern(module))
	i, known := b.known[name]
	if !known {
		i = len(b.stanzas)
		b.stanzas = append(b.stanzas, stanza{Module: hwdetect.Module{Name: name}})
		b.known[name] = i
	}
	b.current = i
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
