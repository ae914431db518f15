// SPDX-License-Identifier: Apache-2.0

package guest_test

import (
	"bytes"
	"cmp"
	"debug/pe"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"driverd/internal/guest"
	"driverd/internal/testtree"
)

// next is what is found in a tree of kernels; the newest one if it is none of the others.
func next(t *testing.T, root, running string) (release string, doubt error) {
	t.Helper()
	found := (&guest.Successor{Root: root, Running: running}).Next()
	return cmp.Or(found.Release, running), found.Doubt
}

// kernels makes a guest with these kernels.
func kernels(t *testing.T, releases ...string) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, release := range releases {
		testtree.Write(t, filepath.Join(root, "lib/modules", release, "vmlinuz"), "")
		testtree.Write(t, filepath.Join(root, "lib/modules", release, "modules.alias"), "")
	}
	return root
}

// Without a word of the boot loader, the next kernel is the newest of the running variant.
func TestNextOfVariant(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		running   string
		installed []string
		want      string
	}{
		{"5.14.0-503.11.1.el9_5.aarch64", []string{"5.14.0-503.11.1.el9_5.aarch64+64k"}, "5.14.0-503.11.1.el9_5.aarch64"},
		{"5.14.0-503.11.1.el9_5.aarch64+64k", []string{"5.14.0-503.12.1.el9_5.aarch64", "5.14.0-503.12.1.el9_5.aarch64+64k", "5.14.0-503.12.1.el9_5.aarch64+64k-debug"}, "5.14.0-503.12.1.el9_5.aarch64+64k"},
		{"6.12.0-55.27.1.el10_0.x86_64", []string{"6.12.0-55.27.1.el10_0.x86_64+rt", "6.12.0-55.27.1.el10_0.x86_64+rt-debug"}, "6.12.0-55.27.1.el10_0.x86_64"},
		{"6.12.0-55.26.1.el10_0.x86_64", []string{"6.12.0-55.27.1.el10_0.x86_64", "6.12.0-55.27.1.el10_0.x86_64+debug"}, "6.12.0-55.27.1.el10_0.x86_64"},
		{"6.12.0-55.26.1.el10_0.x86_64+rt", []string{"6.12.0-55.27.1.el10_0.x86_64", "6.12.0-55.27.1.el10_0.x86_64+rt"}, "6.12.0-55.27.1.el10_0.x86_64+rt"},
		{"5.14.0-427.13.1.el9_4.x86_64", []string{"5.14.0-427.9.1.el9_4.x86_64"}, "5.14.0-427.13.1.el9_4.x86_64"},
		{"6.1.61-85.141.amzn2023.x86_64", []string{"6.1.102-108.177.amzn2023.x86_64"}, "6.1.102-108.177.amzn2023.x86_64"},
		{"6.10.0-0.rc1.17.fc41.x86_64", []string{"6.10.0-64.fc41.x86_64"}, "6.10.0-64.fc41.x86_64"},
		{"5.14.0-427.13.1.el9_4.x86_64", []string{"5.15.0-300.163.18.el9uek.x86_64"}, "5.14.0-427.13.1.el9_4.x86_64"},
		{"7.2.12+deb14-amd64", []string{"7.2.13+deb15-amd64", "7.2.14+deb15-cloud-amd64"}, "7.2.13+deb15-amd64"},
		{"6.8.0-31-generic", []string{"6.8.0-40-aws", "6.8.0-38-generic"}, "6.8.0-38-generic"},
		{"7.2.12-200.fc44.x86_64", nil, "7.2.12-200.fc44.x86_64"},
	} {
		if got, doubt := next(t, kernels(t, append(test.installed, test.running)...), test.running); got != test.want || doubt != nil {
			t.Errorf("%s runs, %v beside it: next is %s, %v, want %s", test.running, test.installed, got, doubt, test.want)
		}
	}
}

const (
	fc44   = "7.2.12-200.fc44.x86_64"
	fc44b  = "7.2.13-200.fc44.x86_64"
	debug  = "7.2.13-200.fc44.x86_64+debug"
	rescue = "title Rescue\nversion 0-rescue-4f\nlinux /vmlinuz-0-rescue-4f\n"
)

// fedora is an entry as Fedora's kernels have it.
func fedora(release string) string {
	return "title Fedora Linux (" + release + ") 44 (Cloud)\nversion " + release + "\nlinux /boot/vmlinuz-" + release + "\n# initrd\n"
}

// variable is the value of an EFI variable.
func variable(value string) string {
	text := "\x06\x00\x00\x00"
	for _, c := range value {
		text += string(c) + "\x00"
	}
	return text + "\x00\x00"
}

// What the boot loader is to start comes next, whatever is the newest.
func TestNextOfBootLoader(t *testing.T) {
	t.Parallel()
	const (
		entries = "boot/loader/entries/4f-"
		grubenv = "boot/grub2/grubenv"
		efivars = "sys/firmware/efi/efivars/"
		vendor  = "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	)
	all := map[string]string{
		entries + fc44 + ".conf": fedora(fc44), entries + fc44b + ".conf": fedora(fc44b), entries + debug + ".conf": fedora(debug), entries + "0-rescue.conf": rescue,
	}
	keyed := map[string]string{
		"efi/loader/entries/a.conf": "version " + fc44 + "\nsort-key fedora\nlinux /4f/" + fc44 + "/linux\n",
		"efi/loader/entries/b.conf": "sort-key fedora\nversion 1\nlinux /4f/" + fc44b + "/linux\n",
		"efi/loader/entries/z.conf": "sort-key arch\nversion 0\nlinux /other/9.9/linux\n",
	}
	for name, test := range map[string]struct {
		files map[string]string // beside the entries
		base  map[string]string
		want  string // empty for the running one, which is fc44
	}{
		"saved":                       {map[string]string{grubenv: "# GRUB Environment Block\nsaved_entry=4f-" + fc44b + "\nboot_success=1\n####"}, all, fc44b},
		"saved, the running one":      {map[string]string{grubenv: "saved_entry=4f-" + fc44 + "\n"}, all, ""},
		"saved, another variant":      {map[string]string{grubenv: "saved_entry=4f-" + debug + "\n"}, all, debug},
		"once":                        {map[string]string{grubenv: "saved_entry=4f-" + fc44 + "\nnext_entry=4f-" + debug + "\n"}, all, debug},
		"once, and that is over":      {map[string]string{grubenv: "next_entry=\nsaved_entry=4f-" + fc44b + "\n"}, all, fc44b},
		"by title":                    {map[string]string{grubenv: "saved_entry=Fedora Linux (" + fc44b + ") 44 (Cloud)\n"}, all, fc44b},
		"by place":                    {map[string]string{grubenv: "saved_entry=1\n"}, all, fc44b},
		"the rescue kernel":           {map[string]string{grubenv: "saved_entry=4f-0-rescue\n"}, all, ""},
		"an entry that is gone":       {map[string]string{grubenv: "saved_entry=4f-9.9\n"}, all, debug},
		"nothing saved":               {map[string]string{grubenv: "# GRUB Environment Block\n"}, all, debug},
		"a menu that is a script":     {map[string]string{"boot/grub/grubenv": "saved_entry=gnulinux-advanced-1>gnulinux-" + debug + "-advanced-1\n"}, nil, debug},
		"a menu, and nothing saved":   {map[string]string{"boot/grub/grubenv": ""}, nil, fc44b},
		"systemd-boot, the first":     {map[string]string{"efi/loader/loader.conf": "timeout 3\n"}, all, debug},
		"systemd-boot, by pattern":    {map[string]string{"efi/loader/loader.conf": "#default x\ndefault 4F-" + fc44b + ".c*\n"}, all, fc44b},
		"systemd-boot, by bootctl":    {map[string]string{"boot/loader/loader.conf": "default 4f-*\n", efivars + "LoaderEntryDefault" + vendor: variable("4f-" + fc44 + ".conf")}, all, ""},
		"systemd-boot, once":          {map[string]string{efivars + "LoaderEntryOneShot" + vendor: variable("4f-" + fc44b + ".conf"), efivars + "LoaderEntryDefault" + vendor: variable("4f-" + fc44 + ".conf")}, all, fc44b},
		"systemd-boot, the last one":  {map[string]string{"efi/loader/loader.conf": "default @saved\n", efivars + "LoaderEntryLastBooted" + vendor: variable("4f-" + fc44b + ".conf")}, all, fc44b},
		"systemd-boot beside GRUB":    {map[string]string{grubenv: "saved_entry=4f-" + fc44 + "\n", efivars + "LoaderInfo" + vendor: variable("systemd-boot 257")}, all, debug},
		"sorted by keys":              {map[string]string{"efi/loader/loader.conf": "default fedora-none\n", "efi/loader/entries/z.conf": fedora(debug)}, keyed, ""},
		"of another system":           {nil, keyed, ""},
		"a kernel that does not boot": {map[string]string{entries + debug + "+0-3.conf": fedora(debug)}, map[string]string{entries + fc44 + ".conf": fedora(fc44), entries + fc44b + "+2-1.conf": fedora(fc44b)}, fc44b},
		"an image, by its name":       {map[string]string{"boot/efi/EFI/Linux/4f-" + fc44b + ".efi": "MZ, and no more"}, nil, fc44b},
		"an image, by its content":    {map[string]string{"efi/EFI/Linux/linux+3.efi": image(t, ".uname", fc44b), "efi/EFI/Linux/4f-" + fc44 + ".efi": "MZ"}, nil, ""},
		"an image, and its system":    {map[string]string{"efi/EFI/Linux/linux.efi": image(t, ".uname", fc44b, ".osrel", "ID=fedora\nVERSION_ID=44\n"), "efi/EFI/Linux/4f-" + fc44 + ".efi": "MZ"}, nil, fc44b},
		"two images":                  {map[string]string{"boot/efi/EFI/Linux/4f-" + fc44 + ".efi": image(t, ".uname", fc44), "boot/efi/EFI/Linux/4f-" + fc44b + ".efi": image(t, ".uname", fc44b+"\n")}, nil, fc44b},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := kernels(t, fc44, fc44b, debug)
			for _, files := range []map[string]string{test.base, test.files} {
				for file, text := range files {
					testtree.Write(t, filepath.Join(root, file), text)
				}
			}
			if got, doubt := next(t, root, fc44); got != cmp.Or(test.want, fc44) || doubt != nil {
				t.Errorf("next is %s, %v, want %s", got, doubt, cmp.Or(test.want, fc44))
			}
		})
	}
}

// image makes a file in the format of the PE with sections of text, by their names.
func image(t *testing.T, sections ...string) string {
	t.Helper()
	var b, texts bytes.Buffer
	header := pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: uint16(len(sections) / 2)}
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	dos := make([]byte, 0x40)
	copy(dos, "MZ")
	dos[0x3c] = 0x40
	put(dos)
	put([]byte("PE\x00\x00"))
	put(header)
	start := b.Len() + 40*len(sections)/2
	for i := 0; i < len(sections); i += 2 {
		s := pe.SectionHeader32{
			VirtualSize: uint32(len(sections[i+1])), SizeOfRawData: uint32(len(sections[i+1])), PointerToRawData: uint32(start + texts.Len()),
		}
		copy(s.Name[:], sections[i])
		put(s)
		texts.WriteString(sections[i+1])
	}
	b.Write(texts.Bytes())
	return b.String()
}

// The service may not read what only root can: then it says so.
func TestNextOfUnreadableBootLoader(t *testing.T) {
	t.Parallel()
	root := kernels(t, fc44, fc44b, debug)
	testtree.Write(t, filepath.Join(root, "boot/grub2/grubenv"), "saved_entry=4f-"+debug+"\n")
	// Also for root, whom no mode keeps out.
	if err := os.Symlink("entries", filepath.Join(root, "boot/loader")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loader", filepath.Join(root, "boot/entries")); err != nil {
		t.Fatal(err)
	}
	if got, doubt := next(t, root, fc44); got != fc44b || doubt == nil {
		t.Errorf("next is %s, %v", got, doubt)
	}
}

// A kernel that has the drivers of all devices may still lack what is loaded.
func TestNextLacksModules(t *testing.T) {
	t.Parallel()
	root := kernels(t, fc44, fc44b)
	has := func(release, modules string) {
		testtree.Write(t, filepath.Join(root, "lib/modules", release, "modules.dep"), modules)
	}
	has(fc44, "kernel/igb.ko.xz:\nkernel/xt_socket.ko.xz:\nextra/nvidia.ko:\n")
	has(fc44b, "kernel/igb.ko.xz:\n")
	s := &guest.Successor{Root: root, Running: fc44}
	loaded := filepath.Join(root, "proc/modules")
	testtree.Write(t, loaded, "igb 1 0 - Live 0x0\n")
	if got := s.Next(); got.Release != fc44b || len(got.Lacks) > 0 {
		t.Errorf("it is %+v", got)
	}
	// One that is from nowhere (an initrd of somebody's own, say) nobody can bring.
	testtree.Write(t, loaded, "igb 1 0 - Live 0x0\nnvidia 1 0 - Live 0x0\nxt_socket 1 0 - Live 0x0\nmine 1 0 - Live 0x0\n")
	if got := s.Next(); !slices.Equal(got.Lacks, []string{"nvidia", "xt_socket"}) {
		t.Errorf("it lacks %v", got.Lacks)
	}
	has(fc44b, "kernel/igb.ko.xz:\nkernel/xt_socket.ko.xz:\nextra/nvidia.ko:\n")
	if got := s.Next(); len(got.Lacks) > 0 {
		t.Errorf("it still lacks %v", got.Lacks)
	}
}

// A later version of the kernel may be made of other modules.
func TestNextHasOtherModules(t *testing.T) {
	t.Parallel()
	root := kernels(t, fc44, fc44b)
	for release, files := range map[string][2]string{
		fc44:  {"kernel/xfs.ko:\nkernel/libcrc32c.ko:\nkernel/crc32c_generic.ko:\nkernel/twofish.ko:\nextra/nvidia.ko:\n", "kernel/xfs.ko\nkernel/libcrc32c.ko\nkernel/crc32c_generic.ko\nkernel/twofish.ko\n"},
		fc44b: {"kernel/xfs.ko:\nkernel/crc32c_cryptoapi.ko:\n", "kernel/xfs.ko\nkernel/crc32c_cryptoapi.ko\nkernel/twofish.ko\n"},
	} {
		dir := filepath.Join(root, "lib/modules", release)
		testtree.Write(t, filepath.Join(dir, "modules.dep"), files[0])
		testtree.Write(t, filepath.Join(dir, "modules.order"), files[1])
	}
	testtree.Write(t, filepath.Join(root, "proc/modules"),
		"xfs 1 1 - Live 0x0\nlibcrc32c 1 1 xfs, Live 0x0\ncrc32c_generic 1 1 - Live 0x0\ntwofish 1 1 - Live 0x0\nnvidia 1 0 - Live 0x0\n")
	s := &guest.Successor{Root: root, Running: fc44}
	if got := s.Next(); got.Release != fc44b || !slices.Equal(got.Lacks, []string{"nvidia", "twofish"}) {
		t.Errorf("it is %s and lacks %v, want nvidia and twofish", got.Release, got.Lacks)
	}
}

// The engine sees the next kernel when DNF is through with it.
func TestSuccessor(t *testing.T) {
	t.Parallel()
	const running, next = "7.2.12-200.fc44", "7.2.13-100.fc44"
	root := t.TempDir()
	dir := filepath.Join(root, "lib/modules")
	testtree.Write(t, filepath.Join(dir, running, "vmlinuz"), "")
	s := &guest.Successor{Root: root, Running: running}
	if got := s.Next(); got.Release != "" {
		t.Errorf("with the running kernel alone: %+v", got)
	}
	testtree.Write(t, filepath.Join(dir, next, "vmlinuz"), "")
	if got := s.Next(); got.Release != "" {
		t.Errorf("before depmod: %+v", got)
	}
	index := filepath.Join(dir, next, "modules.alias")
	testtree.Write(t, index, "alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb\n")
	was := s.Next()
	if was.Release != next || !slices.Equal(was.Kernel.Installed(igbModalias), []string{"igb"}) {
		t.Fatalf("it is %+v", was)
	}
	if got := s.Next(); got.Kernel != was.Kernel {
		t.Error("it is another one, though nothing has changed")
	}
	testtree.Write(t, index, "# Aliases extracted from modules themselves.\n")
	if got := s.Next(); got.Kernel == was.Kernel || len(got.Kernel.Installed(igbModalias)) > 0 {
		t.Error("it has not changed with its index")
	}
	if err := os.RemoveAll(filepath.Join(dir, next)); err != nil {
		t.Fatal(err)
	}
	if got := s.Next(); got.Release != "" {
		t.Errorf("once removed: %+v", got)
	}
}

// Releases are compared number by number.
func TestNewestKernel(t *testing.T) {
	t.Parallel()
	sorted := []string{
		"5.14.0-70.el9", "5.14.0-611.el9", "6.9.3-200.fc40", "6.10.0-0.rc1.fc41", "6.10.0-0.rc10.fc41", "6.10.0-1.fc41",
		"7.2.12-200.fc44", "99.7.2.12-200.fc44",
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, _ := next(t, kernels(t, a, b), a); got != sorted[max(i, j)] {
				t.Errorf("while %s runs, beside %s, %s is the next", a, b, got)
			}
		}
	}
}

const igbModalias = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"
