// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// CapabilityVersion is the version of the *-uname-r capabilities for a kernel
// release. RPM takes one dash, between version and release; Fedora's kernel.spec
// writes any further dash as an underscore, so that the release
// "6.12.0-55.el10.x86_64+64k-debug" becomes "6.12.0-55.el10.x86_64+64k_debug".
func CapabilityVersion(release string) string {
	version, rest, dash := strings.Cut(release, "-")
	if !dash {
		return version
	}
	return version + "-" + capabilityWord(rest)
}

// capabilityWord spells what must not have a dash in a capability's version.
func capabilityWord(s string) string { return strings.ReplaceAll(s, "-", "_") }

// Provides returns the capabilities of a subpackage that holds the modules, in
// the form that Fedora's kmod.attr and modalias.prov (kernel-srpm-macros)
// generate: kmod(FILE) for each, and modalias(PATTERN) for each of its
// aliases. Sorted, none twice.
func Provides(modules []*Module) []string {
	var all []string
	for _, m := range modules {
		all = append(all, kmod(m.File()))
		all = append(all, modaliases(m)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// BuiltinProvides returns the kmod() capabilities of the kernel image itself,
// which Fedora's kmod.attr takes from modules.builtin.
func BuiltinProvides(t *Tree) []string {
	var all []string
	for _, b := range t.Builtin {
		all = append(all, kmod(path.Base(b)))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func kmod(file string) string { return "kmod(" + clean(file) + ")" }

// modaliases returns the modalias() capabilities of one module. modalias.prov
// runs once for each file, so neighbours merge within a module only.
func modaliases(m *Module) []string {
	aliases := make([]string, 0, len(m.Aliases))
	for _, a := range m.Aliases {
		if a != "" {
			aliases = append(aliases, clean(a))
		}
	}
	version := ""
	if m.Version != "" {
		version = " = " + cleanVersion(m.Version)
	}
	merged := mergeNeighbours(aliases)
	for i, a := range merged {
		merged[i] = "modalias(" + a + ")" + version
	}
	return merged
}

// mergeNeighbours writes aliases that differ in one character as one pattern
// with a set, "pci:v0000168Cd0000002[3479]sv*", to keep repository metadata
// small. Like modalias.prov it looks only at neighbours in the order of length,
// then bytes, and keeps a set in the one place where it began. A dash can only
// ever come first in a set, and then it stands for itself: every other
// character that clean leaves over sorts behind it.
func mergeNeighbours(aliases []string) []string {
	aliases = slices.Clone(aliases)
	slices.SortFunc(aliases, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	aliases = slices.Compact(aliases)

	var merged []string
	for len(aliases) > 0 {
		first, set, at := aliases[0], "", -1
		n := 1
		for ; n < len(aliases); n++ {
			i := onlyDifference(first, aliases[n])
			if i < 0 || at >= 0 && i != at {
				break
			}
			at = i
			set += aliases[n][i : i+1]
		}
		if at >= 0 {
			first = first[:at] + "[" + first[at:at+1] + set + "]" + first[at+1:]
		}
		merged = append(merged, first)
		aliases = aliases[n:]
	}
	return merged
}

// onlyDifference returns the index of the one byte in which a and b differ, or
// -1 if they differ otherwise or in a byte that means something in a pattern.
func onlyDifference(a, b string) int {
	if len(a) != len(b) {
		return -1
	}
	for i := range len(a) {
		if a[i] == b[i] {
			continue
		}
		if a[i+1:] != b[i+1:] || strings.ContainsAny(a[i:i+1]+b[i:i+1], "[]?*") {
			return -1
		}
		return i
	}
	return -1
}

// clean replaces what must not be in a capability's name. RPM ends a name at
// white space and commas, expands "%", and reads parentheses in pairs; there is
// no way to quote. Fedora's modalias.prov writes an underscore for every
// character outside this set, so we do. Such an alias no longer matches: of
// the buses that use one of those (of:, acpi*:, dmi:) none is PCI.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if isAlnum(r) || strings.ContainsRune("._:*?/-[]", r) {
			return r
		}
		return '_'
	}, s)
}

func cleanVersion(s string) string {
	return strings.Map(func(r rune) rune {
		if isAlnum(r) || r == '.' || r == '_' {
			return r
		}
		return '_'
	}, s)
}

func isAlnum(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
