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
	"strings"
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
	return nil
}
