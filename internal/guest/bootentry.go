// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"cmp"
	"debug/pe"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// bootEntry is one of those that a boot loader offers, by the UAPI.1 Boot Loader Specification: a
// file that names a kernel, or a unified kernel image.
type bootEntry struct {
	id        string // its file's name, without the count of tries
	title     string
	release   string // of its kernel, empty if that is none of the installed ones
	sortKey   string
	machineID string
	version   string
	spent     bool // all tries to boot it have failed
}

// tries are those that are left, and those that have failed, at the end of a file's name.
var tries = regexp.MustCompile(`\+([0-9]+)(?:-[0-9]+)?$`)

// newEntry returns the entry of a file, of which nothing is known but its name.
func newEntry(file string) bootEntry {
	suffix := filepath.Ext(file)
	stem := strings.TrimSuffix(filepath.Base(file), suffix)
	var e bootEntry
	if left := tries.FindStringSubmatch(stem); left != nil {
		stem, e.spent = strings.TrimSuffix(stem, left[0]), strings.Trim(left[1], "0") == ""
	}
	e.id = stem + suffix
	return e
}

// readEntry reads a file of loader/entries.
func readEntry(file string, releases []string) (bootEntry, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return bootEntry{}, err
	}
	e := newEntry(file)
	var image string
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		value = strings.TrimSpace(value)
		switch key {
		case "title":
			e.title = value
		case "version":
			e.version = value
		case "machine-id":
			e.machineID = value
		case "sort-key":
			e.sortKey = value
		case "linux", "efi", "uki":
			image = value
		}
	}
	e.release = cmp.Or(releaseIn(e.version, releases), releaseIn(image, releases))
	return e, nil
}

// readImage reads a unified kernel image, of EFI/Linux.
func readImage(path string, releases []string) (bootEntry, error) {
	file, err := os.Open(path)
	if err != nil {
		return bootEntry{}, err
	}
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	e := newEntry(path)
	e.release = releaseIn(strings.TrimSuffix(e.id, filepath.Ext(e.id)), releases)
	image, err := pe.NewFile(file)
	if err != nil {
		return e, nil //nolint:nilerr // its name has to do
	}
	if release := section(image, ".uname"); release != "" {
		e.release = releaseIn(release, releases)
	}
	system := make(map[string]string)
	for line := range strings.Lines(section(image, ".osrel")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		system[key] = strings.Trim(value, `"'`)
	}
	e.title = system["PRETTY_NAME"]
	e.sortKey = cmp.Or(system["IMAGE_ID"], system["ID"])
	e.version = cmp.Or(system["IMAGE_VERSION"], system["VERSION_ID"], system["BUILD_ID"])
	return e, nil
}

// maxSection is more than a section with text holds.
const maxSection = 64 << 10

// section returns the text in a section of an image, empty if there is none.
func section(image *pe.File, name string) string {
	s := image.Section(name)
	if s == nil || s.Size > maxSection {
		return ""
	}
	text, _ := s.Data() // what cannot be read says nothing
	return strings.Trim(string(text[:min(len(text), int(s.VirtualSize))]), "\x00\n")
}

// compareEntries orders entries as systemd-boot shows them, the newest version first (UAPI.1,
// "Sorting").
func compareEntries(a, b bootEntry) int {
	order := cmp.Compare(a.rank(), b.rank())
	if a.sortKey != "" && b.sortKey != "" {
		order = cmp.Or(order, cmp.Compare(a.sortKey, b.sortKey), cmp.Compare(a.machineID, b.machineID), compareReleases(b.version, a.version))
	}
	return cmp.Or(order, compareNames(a, b))
}

// compareNames orders entries as GRUB does, which knows no sort keys.
func compareNames(a, b bootEntry) int { return compareReleases(b.id, a.id) }

// rank is lower for entries with a sort key, and higher for those that do not boot.
func (e bootEntry) rank() (rank int) {
	if e.sortKey == "" {
		rank++
	}
	if e.spent {
		rank += 2
	}
	return rank
}
