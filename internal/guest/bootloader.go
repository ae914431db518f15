// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// bootFolders are where $BOOT and the EFI system partition may be mounted.
var bootFolders = []string{"boot", "efi", "boot/efi"}

// errNoBootLoader says that nothing tells which kernel the boot loader starts.
var errNoBootLoader = errors.New("no boot loader's configuration is found")

// bootLoader is what is configured for the boot loader of a guest.
type bootLoader struct {
	root     string
	releases []string // of the installed kernels
	problem  error    // why something could not be read, nil if all was
}

// next returns the release of the kernel that the next boot brings, empty if it is none of the
// installed ones. The error is errNoBootLoader if nothing is configured, else it says what of the
// configuration could not be read.
func (b *bootLoader) next() (string, error) {
	entries := b.entries()
	choose := b.systemdBoot
	if b.grub() {
		choose = b.grubDefault
	}
	release, err := choose(entries)
	if b.problem != nil {
		return "", b.problem
	}
	return release, err
}

// entries lists what can be booted, what systemd-boot shows first first.
func (b *bootLoader) entries() []bootEntry {
	var all []bootEntry
	for _, folder := range bootFolders {
		for _, kind := range []struct {
			folder, suffix string
			read           func(string, []string) (bootEntry, error)
		}{
			{"loader/entries", ".conf", readEntry},
			{"EFI/Linux", ".efi", readImage},
		} {
			dir := filepath.Join(b.root, folder, kind.folder)
			files, err := os.ReadDir(dir)
			b.note(err)
			for _, f := range files {
				if !strings.EqualFold(filepath.Ext(f.Name()), kind.suffix) {
					continue
				}
				e, err := kind.read(filepath.Join(dir, f.Name()), b.releases)
				b.note(err)
				if err == nil && !slices.ContainsFunc(all, func(known bootEntry) bool { return known.id == e.id }) {
					all = append(all, e)
				}
			}
		}
	}
	slices.SortStableFunc(all, compareEntries)
	return all
}

// note keeps the first error that says more than that something is not there.
func (b *bootLoader) note(err error) {
	if b.problem == nil && err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.problem = err
	}
}

// read returns the text of a file below the root, empty if there is none.
func (b *bootLoader) read(name string) string {
	text, err := os.ReadFile(filepath.Join(b.root, name))
	b.note(err)
	return string(text)
}

// grubEnvironments are the files in which GRUB keeps what it is to start.
var grubEnvironments = []string{"boot/grub2/grubenv", "boot/grub/grubenv"}

// grub says whether the guest is booted by GRUB: it is installed, and systemd-boot was not used.
func (b *bootLoader) grub() bool {
	return !strings.HasPrefix(b.variable("LoaderInfo"), "systemd-boot") && slices.ContainsFunc(grubEnvironments, func(name string) bool {
		_, err := os.Stat(filepath.Join(b.root, filepath.Dir(name)))
		return err == nil
	})
}

// grubDefault is what GRUB starts: the entry that is saved for the next boot alone, else for all,
// by its name, title or place; else the first.
func (b *bootLoader) grubDefault(entries []bootEntry) (string, error) {
	saved := make(map[string]string)
	for _, name := range grubEnvironments {
		for line := range strings.Lines(b.read(name)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && value != "" {
				saved[key] = value
			}
		}
	}
	value := saved["next_entry"]
	if value == "" {
		value = saved["saved_entry"]
	}
	// GRUB boots no unified image by itself.
	entries = slices.DeleteFunc(slices.Clone(entries), func(e bootEntry) bool { return path.Ext(e.id) != ".conf" })
	slices.SortStableFunc(entries, compareNames)
	if len(entries) == 0 { // its menu is a script, of which the names of its entries are known
		if release := releaseIn(value[strings.LastIndexByte(value, '>')+1:], b.releases); release != "" {
			return release, nil
		}
		return "", errNoBootLoader
	}
	chosen := slices.IndexFunc(entries, func(e bootEntry) bool {
		return value != "" && (strings.TrimSuffix(e.id, ".conf") == value || e.title == value)
	})
	if place, err := strconv.Atoi(value); err == nil && place >= 0 && place < len(entries) {
		chosen = place
	}
	return entries[max(chosen, 0)].release, nil
}

// systemdBoot is what systemd-boot starts, or the firmware, which knows no other order: the first
// entry that a pattern fits, for the next boot alone, for all, or in loader.conf(5); else the first.
func (b *bootLoader) systemdBoot(entries []bootEntry) (string, error) {
	if len(entries) == 0 {
		return "", errNoBootLoader
	}
	patterns := []string{b.variable("LoaderEntryOneShot"), b.variable("LoaderEntryDefault")}
	for _, folder := range bootFolders {
		for line := range strings.Lines(b.read(filepath.Join(folder, "loader/loader.conf"))) {
			if words := strings.Fields(line); len(words) == 2 && words[0] == "default" {
				patterns = append(patterns, words[1])
			}
		}
	}
	for _, pattern := range patterns {
		if pattern == "@saved" {
			pattern = b.variable("LoaderEntryLastBooted")
		}
		for _, e := range entries {
			if fits, err := path.Match(strings.ToLower(pattern), strings.ToLower(e.id)); err == nil && fits {
				return e.release, nil
			}
		}
	}
	return entries[0].release, nil
}

// variable returns the value of one of systemd-boot's EFI variables, which are text in UTF-16
// behind four bytes of flags; empty if it is not set.
func (b *bootLoader) variable(name string) string {
	text := b.read("sys/firmware/efi/efivars/" + name + "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
	var units []uint16
	for i := 4; i+1 < len(text); i += 2 {
		units = append(units, uint16(text[i])|uint16(text[i+1])<<8)
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00")
}
