// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"debug/elf"
	_ "embed" // for kernel.c
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"driverd/lab/stage"
)

//go:embed libkrunfw/kernel.c
var krunSource string

// krunSuite is where Debian has libkrunfw.
const krunSuite = "testing"

// WithLibraryKernel returns the image with the kernel out of Debian's libkrunfw to boot
// it with, which knows neither modules nor PCI. It boots on a MicroVM, without an
// initrd: Start.Files are not laid over its disk.
func WithLibraryKernel(ctx context.Context, image *Image) (*Image, error) {
	dir, err := stage.Get(ctx, "libkrunfw", []string{krunSuite, krunSource}, func(ctx context.Context, dir string) error {
		if err := Native.unpack(ctx, dir, krunSuite, "libkrunfw5"); err != nil {
			return err
		}
		libraries, err := filepath.Glob(filepath.Join(dir, "usr/lib/*/libkrunfw.so.5"))
		if err != nil || len(libraries) != 1 {
			return fmt.Errorf("cannot find libkrunfw in its package: %v %w", libraries, err)
		}
		return extractKernel(ctx, libraries[0], dir)
	})
	if err != nil {
		return nil, err
	}
	release, err := os.ReadFile(filepath.Join(dir, "release"))
	if err != nil {
		return nil, fmt.Errorf("cannot tell which kernel libkrunfw has: %w", err)
	}
	library := *image
	library.like = image
	library.Kernel, library.Initrd, library.Release = filepath.Join(dir, "kernel.elf"), "", string(release)
	return &library, nil
}

// extractKernel asks a library for its kernel and leaves it in dir, as QEMU boots one,
// and its release.
func extractKernel(ctx context.Context, library, dir string) error {
	program := filepath.Join(dir, "kernel")
	compile := exec.CommandContext(ctx, "gcc", "-o", program, "-xc", "-")
	compile.Stdin = strings.NewReader(krunSource)
	if err := run(ctx, compile); err != nil {
		return err
	}
	ask := exec.CommandContext(ctx, program, library)
	var kernel, said bytes.Buffer
	ask.Stdout, ask.Stderr = &kernel, &said
	if err := ask.Run(); err != nil {
		return fmt.Errorf("cannot get the kernel out of %s: %w: %s", library, err, tail(said.Bytes()))
	}
	load, err := strconv.ParseUint(strings.TrimSpace(said.String()), 10, 32)
	if err != nil {
		return fmt.Errorf("cannot tell where the kernel of %s belongs: %w", library, err)
	}
	release := regexp.MustCompile(`Linux version (\d\S*) `).FindSubmatch(kernel.Bytes())
	if release == nil {
		return fmt.Errorf("cannot tell which kernel %s has", library)
	}
	boots, err := pvh(kernel.Bytes(), uint32(load))
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "release"), release[1], 0o644), os.WriteFile(filepath.Join(dir, "kernel.elf"), boots, 0o644))
}

// pvhEntry is how the entry of a kernel for PVH begins: cld; mov (%ebx),%eax; ...
// (Linux: pvh_start_xen in arch/x86/platform/pvh/head.S).
var pvhEntry = []byte{0xfc, 0x8b, 0x03, 0x8d, 0x63, 0x04, 0xe8}

// pvh wraps a kernel as it lies in memory, and begins with its entry, into an ELF file
// that says where it belongs: one segment, and Xen's note of the entry, which QEMU goes
// by (XEN_ELFNOTE_PHYS32_ENTRY).
func pvh(kernel []byte, load uint32) ([]byte, error) {
	if !bytes.HasPrefix(kernel, pvhEntry) {
		return nil, fmt.Errorf("cannot boot this kernel: it begins with % x, not with the entry for PVH", kernel[:min(16, len(kernel))])
	}
	const headers, physEntry = 0x1000, 18
	size := func(v any) uint64 { return uint64(binary.Size(v)) }
	name := [4]byte{'X', 'e', 'n'}
	note := struct {
		NameSize, DescSize, Type uint32
		Name                     [4]byte
		Entry                    uint64
	}{4, 8, physEntry, name, uint64(load)}
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Entry: uint64(load),
		Phoff: size(elf.Header64{}), Ehsize: uint16(size(elf.Header64{})), Phentsize: uint16(size(elf.Prog64{})), Phnum: 2,
	}
	segments := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W | elf.PF_X), Off: headers, Vaddr: uint64(load), Paddr: uint64(load),
			Filesz: uint64(len(kernel)), Memsz: uint64(len(kernel)), Align: headers},
		{Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R), Off: header.Phoff + 2*size(elf.Prog64{}), Filesz: size(note), Memsz: size(note), Align: 4},
	}
	var out bytes.Buffer
	for _, part := range []any{header, segments, note} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			return nil, fmt.Errorf("cannot wrap the kernel: %w", err)
		}
	}
	out.Write(make([]byte, headers-out.Len()))
	out.Write(kernel)
	return out.Bytes(), nil
}
