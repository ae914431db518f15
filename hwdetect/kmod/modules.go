// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed" // for modules.index.gz
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strconv"
	"sync"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/internal/tree"
	"driverd/kernelbuild"
)

// modules are those of an index that claim PCI devices.
type modules struct {
	all     []hwdetect.Module
	aliases *modalias.Table // its values are indexes into all
}

// The index of a build, modules.catalog, and that which driverd ships have one form;
// see CatalogFile of kernelsplit. Their first line says which version of it, and their
// last line that nothing is missing. The first catalogs said neither.
const (
	formatVersion = 1
	versionLine   = "# driverd modules "
	lastLine      = "# end"
)

// formatError is why an index is not understood. It is so for good, and of no matter
// for what else is known of modules.
type formatError string

func (e formatError) Error() string { return string(e) }

// shipped are the modules of the index that came with the kernel.
type shipped struct {
	modules
	problem error // why some are lacking, nil if none is
}

// readShipped reads modules.catalog.
func readShipped(dir, prefix string) (shipped, error) {
	f, err := tree.At(dir).Open(BuildFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return shipped{}, nil
	}
	var all modules
	if err == nil {
		defer func() { _ = f.Close() }()
		all, err = readModules(f, prefix)
	}
	if err != nil {
		err = fmt.Errorf("cannot read the index of the kernel's build: %s: %w", BuildFile, err)
	}
	if errors.As(err, new(formatError)) {
		return shipped{problem: err}, nil
	}
	return shipped{modules: all}, err
}

//go:embed modules.index.gz
var generalIndex []byte

// general returns what reads the index that driverd ships, when it is first asked for. It is
// a part of the program, and a test reads it whole.
func general(prefix string) func() modules {
	return sync.OnceValue(func() modules {
		text, err := gzip.NewReader(bytes.NewReader(generalIndex))
		if err != nil {
			return modules{}
		}
		all, err := readModules(text, prefix)
		if err != nil {
			return modules{}
		}
		return all
	})
}

// readModules reads an index. A stanza without a sensible name, lines out of place and
// keys that are not known are passed over.
func readModules(text io.Reader, prefix string) (modules, error) {
	b := modulesBuilder{prefix: prefix, known: make(map[string]int), strings: make(map[string]string)}
	for line, err := range indexLines(text) {
		if err != nil {
			return modules{}, err
		}
		b.line(line)
	}
	b.end()
	return b.build(), nil
}

// indexLines are the lines of an index, but for those that are longer than any of ours,
// one by one, as it describes thousands of modules, of which few are kept. If it cannot
// be read whole, an error is the last: a formatError for another version, and for an
// index that is cut short.
func indexLines(text io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		lines := bufio.NewReader(text)
		versioned, ended := false, false
		for first := true; ; first = false {
			line, err := lines.ReadSlice('\n')
			whole := bytes.TrimRight(line, "\n")
			if first {
				var other error
				if versioned, other = version(whole); other != nil {
					yield(nil, other)
					return
				}
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				for errors.Is(err, bufio.ErrBufferFull) {
					_, err = lines.ReadSlice('\n')
				}
			} else {
				ended = ended || string(whole) == lastLine
				if !yield(whole, nil) {
					return
				}
			}
			switch {
			case err == io.EOF && versioned && !ended:
				yield(nil, formatError("it is cut short"))
				return
			case err == io.EOF:
				return
			case err != nil:
				yield(nil, err)
				return
			}
		}
	}
}

// version says whether the first line of an index names a version. The error is that it
// is another one than is read.
func version(first []byte) (versioned bool, err error) {
	rest, versioned := bytes.CutPrefix(first, []byte(versionLine))
	if number, _, _ := bytes.Cut(rest, []byte(" ")); versioned && string(number) != strconv.Itoa(formatVersion) {
		return true, formatError(fmt.Sprintf("it is of version %.20q, and driverd reads version %d", number, formatVersion))
	}
	return versioned, nil
}

func (m modules) claims(name string, source hwdetect.Source) []hwdetect.Claim {
	if m.aliases == nil {
		return nil
	}
	var claims []hwdetect.Claim
	for _, c := range m.aliases.Claims(name) {
		claims = append(claims, hwdetect.Claim{Source: source, Alias: c.Pattern, Module: m.all[c.Value]})
	}
	return claims
}

// stanza is what an index says about one module.
type stanza struct {
	hwdetect.Module          // with its own firmware alone
	depends         []string // all of them: depmod lists them transitively
	aliases         []string // those that a PCI device can match
}

// modulesBuilder collects the stanzas of those modules that claim a device or ask
// for firmware: of thousands most do neither.
type modulesBuilder struct {
	prefix  string
	stanzas []stanza
	known   map[string]int    // index of a module's stanza
	strings map[string]string // one of each: most names and groups come often

	stanza stanza // that is being read; without a name if none is
}

func (b *modulesBuilder) line(line []byte) {
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
func (b *modulesBuilder) end() {
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

func (b *modulesBuilder) intern(value []byte) string {
	s, known := b.strings[string(value)]
	if !known {
		s = string(value)
		b.strings[s] = s
	}
	return s
}

// build keeps the modules that claim PCI devices, with the firmware of those
// that they depend on: many a driver's is asked for by a library of its.
func (b *modulesBuilder) build() modules {
	var found modules
	var aliases modalias.Builder
	for _, s := range b.stanzas {
		if len(s.aliases) == 0 {
			continue
		}
		for _, pattern := range s.aliases {
			aliases.Add(pattern, len(found.all))
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
		found.all = append(found.all, s.Module)
	}
	found.aliases = aliases.Build()
	return found
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
