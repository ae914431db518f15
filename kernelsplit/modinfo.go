// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"

	"driverd/kernelbuild"
)

// decompressors maps the suffixes that kmod knows to the command that writes
// the plain module to its output. The commands are those that compressed the
// modules when the kernel was built (Linux: scripts/Makefile.modinst), so a
// packager has them.
var decompressors = map[string][]string{
	".xz":  {"xz", "-dc"},
	".zst": {"zstd", "-dcq"},
	".gz":  {"gzip", "-dc"},
}

// readModule reads one module below the tree dir.
func readModule(ctx context.Context, dir, file string) (*Module, error) {
	full := path.Join(dir, file)
	info, err := os.Stat(full)
	if err != nil {
		return nil, fmt.Errorf("cannot read module: %w", err)
	}
	plain, err := readPlain(ctx, full)
	if err != nil {
		return nil, fmt.Errorf("cannot read module %s: %w", full, err)
	}
	m := &Module{Path: file, Size: info.Size()}
	if err := m.readELF(plain); err != nil {
		return nil, fmt.Errorf("cannot read module %s: %w", full, err)
	}
	return m, nil
}

func readPlain(ctx context.Context, file string) ([]byte, error) {
	suffix := path.Ext(file)
	if suffix == ".ko" {
		return os.ReadFile(file)
	}
	command, ok := decompressors[suffix]
	if !ok {
		return nil, fmt.Errorf("unknown compression %q", suffix)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], file)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", command[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// maxAlias is the most bytes that an alias may have. The longest of Linux 7.2 has
// 98: one of the DMI bus.
const maxAlias = 4096

// readELF fills in what the module says about itself.
func (m *Module) readELF(plain []byte) error {
	f, err := elf.NewFile(bytes.NewReader(plain))
	if err != nil {
		return err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return errors.New("no .modinfo section: not a kernel module")
	}
	info, err := section.Data()
	if err != nil {
		return fmt.Errorf("section .modinfo: %w", err)
	}
	for entry := range strings.SplitSeq(string(info), "\x00") {
		key, value, _ := strings.Cut(entry, "=")
		switch key {
		case "alias":
			if len(value) > maxAlias {
				return fmt.Errorf("an alias of %d bytes, want %d at most", len(value), maxAlias)
			}
			m.Aliases = append(m.Aliases, value)
		case "firmware":
			m.Firmware = append(m.Firmware, value)
		case "version":
			if m.Version == "" { // some modules have two: the first counts, as in Fedora's modalias.prov
				m.Version = value
			}
		}
	}
	symbols, err := f.Symbols()
	if err != nil {
		return fmt.Errorf("symbol table: %w", err)
	}
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF && s.Name != "" {
			m.Imports = append(m.Imports, s.Name)
		}
	}
	if slices.Contains(m.Imports, "__request_module") {
		return m.readAsks(f)
	}
	return nil
}

// readAsks fills in what the module may ask for by name: of its constant
// strings, those that look like the argument of request_module.
func (m *Module) readAsks(f *elf.File) error {
	for _, section := range f.Sections {
		if section.Type != elf.SHT_PROGBITS || !strings.HasPrefix(section.Name, ".rodata") {
			continue
		}
		data, err := section.Data()
		if err != nil {
			return fmt.Errorf("section %s: %w", section.Name, err)
		}
		for text := range strings.SplitSeq(string(data), "\x00") {
			if ask := askedName(text); ask != "" {
				m.Asks = append(m.Asks, ask)
			}
		}
	}
	slices.Sort(m.Asks)
	m.Asks = slices.Compact(m.Asks)
	return nil
}

var (
	// conversion is one of printf's that names of modules are made with.
	conversion = regexp.MustCompile(`%[0-9]*[sdiux]`)
	// moduleName has two words at least, and as many before what is not known:
	// one word alone is more often another text, or says too little.
	moduleName = regexp.MustCompile(`^[a-z0-9*]+(_+[a-z0-9*]+)+$`)
	twoWords   = regexp.MustCompile(`^[a-z0-9]+_[a-z0-9]+_$`)
)

// askedName returns the name or pattern that a string stands for as an argument
// of request_module: "scsi_dh_%s" is scsi_dh_*. It is empty for a string that
// looks like none, or says too little: a number of a device or a protocol can
// be anyone's.
func askedName(text string) string {
	name := kernelbuild.ModuleName(conversion.ReplaceAllString(text, "*"))
	if len(text) > 60 || !moduleName.MatchString(name) || strings.HasPrefix(name, "*") ||
		strings.HasPrefix(name, "char_major_") || strings.HasPrefix(name, "net_pf_") {
		return ""
	}
	if stem, _, pattern := strings.Cut(name, "*"); pattern && !twoWords.MatchString(stem) {
		return ""
	}
	return name
}
