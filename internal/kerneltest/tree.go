// SPDX-License-Identifier: Apache-2.0

// Package kerneltest makes small module trees for tests: real ELF files that
// say of themselves what a test wants them to say.
package kerneltest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"driverd/kernelsplit"
)

// WriteTree writes the modules below dir/lib/modules/release, with the files of
// the kernel's build, a modules.dep from their Depends and a modules.softdep
// from their SoftDepends, and returns that folder. A module whose path has a compression suffix is compressed so.
func WriteTree(t testing.TB, dir, release string, modules []*kernelsplit.Module) string {
	t.Helper()
	tree := filepath.Join(dir, "lib", "modules", release)
	paths := map[string]string{}
	for _, m := range modules {
		paths[m.Name()] = m.Path
	}
	var dep, softdep strings.Builder
	for _, m := range modules {
		Write(t, filepath.Join(tree, m.Path), Object(m))
		dep.WriteString(m.Path + ":")
		for _, d := range m.Depends {
			dep.WriteString(" " + paths[d])
		}
		dep.WriteString("\n")
		if len(m.SoftDepends) > 0 {
			fmt.Fprintf(&softdep, "softdep %s pre: %s\n", m.Name(), strings.Join(m.SoftDepends, " "))
		}
	}
	Write(t, filepath.Join(tree, "modules.softdep"), []byte(softdep.String()))
	Write(t, filepath.Join(tree, "modules.dep"), []byte(dep.String()))
	Write(t, filepath.Join(tree, "modules.builtin"), []byte("kernel/drivers/virtio/virtio_pci.ko\n"))
	Write(t, filepath.Join(tree, "modules.builtin.modinfo"), nil)
	Write(t, filepath.Join(tree, "modules.order"), nil)
	return tree
}

// Write writes a file and the folders above it, compressed as its suffix says.
func Write(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if command := map[string]string{".xz": "xz", ".zst": "zstd", ".gz": "gzip"}[filepath.Ext(file)]; command != "" {
		cmd := exec.Command(command, "-c")
		cmd.Stdin = bytes.NewReader(data)
		var err error
		if data, err = cmd.Output(); err != nil {
			t.Fatalf("cannot compress with %s: %v", command, err)
		}
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Object returns a relocatable ELF file with the module's .modinfo section and
// its imports as undefined symbols. It exports Symbol(its name).
func Object(m *kernelsplit.Module) []byte {
	var info bytes.Buffer
	entry := func(key, value string) { fmt.Fprintf(&info, "%s=%s\x00", key, value) }
	for _, a := range m.Aliases {
		entry("alias", a)
	}
	for _, f := range m.Firmware {
		entry("firmware", f)
	}
	if m.Version != "" {
		entry("version", m.Version)
	}
	entry("depends", strings.Join(m.Depends, ","))
	if len(m.SoftDepends) > 0 {
		entry("softdep", "pre: "+strings.Join(m.SoftDepends, " "))
	}
	entry("name", m.Name())

	symbols, names := []elf.Sym64{{}}, []byte{0}
	for _, s := range m.Imports {
		symbols = append(symbols, elf.Sym64{Name: uint32(len(names)), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_NOTYPE)})
		names = append(append(names, s...), 0)
	}
	var table bytes.Buffer
	encode(&table, symbols)

	const sectionNames = "\x00.modinfo\x00.symtab\x00.strtab\x00.shstrtab\x00__ksymtab_strings\x00"
	var body bytes.Buffer
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Ehsize: 64, Shentsize: 64, Shnum: 6, Shstrndx: 4,
	}
	sections := []elf.Section64{{}}
	section := func(name string, s elf.Section64, data []byte) {
		s.Name = uint32(strings.Index(sectionNames, name))
		s.Off, s.Size, s.Addralign = uint64(64+body.Len()), uint64(len(data)), 1
		body.Write(data)
		sections = append(sections, s)
	}
	section(".modinfo", elf.Section64{Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC)}, info.Bytes())
	section(".symtab", elf.Section64{Type: uint32(elf.SHT_SYMTAB), Link: 3, Info: 1, Entsize: elf.Sym64Size}, table.Bytes())
	section(".strtab", elf.Section64{Type: uint32(elf.SHT_STRTAB)}, names)
	section(".shstrtab", elf.Section64{Type: uint32(elf.SHT_STRTAB)}, []byte(sectionNames))
	section("__ksymtab_strings", elf.Section64{Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC)}, []byte(Symbol(m.Name())+"\x00"))
	header.Shoff = uint64(64 + body.Len())

	var file bytes.Buffer
	encode(&file, header)
	file.Write(body.Bytes())
	encode(&file, sections)
	return file.Bytes()
}

// Symbol is what the module of that name exports.
func Symbol(module string) string { return module + "_symbol" }

func encode(b *bytes.Buffer, data any) {
	if err := binary.Write(b, binary.LittleEndian, data); err != nil {
		panic(err) // a fixed-size value into memory
	}
}
