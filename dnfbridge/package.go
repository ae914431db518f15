// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"slices"
	"strings"
)

// Package is one package, as the repositories or the rpmdb describe it.
type Package struct {
	NEVRA        string // as rpm prints it: with architecture, without a zero epoch
	Name         string
	RepoID       string // the repository that offers it, empty if it is only installed; see redact.Text
	Installed    bool
	Excluded     bool     // a repository offers it, and DNF's configuration hides it
	DownloadSize int64    // bytes, 0 if it is only installed
	InstallSize  int64    // bytes
	Provides     []string // as rpm prints them, sorted: "kmod(igb.ko)", "a = 1"
}

// unameSuffix ends the name of the capability by which a package says that it
// belongs to a kernel release (Fedora's kernel.spec: kernel-modules-uname-r).
const unameSuffix = "-uname-r"

// unameVersion returns a kernel release as it stands in a capability. An RPM
// version may hold one "-", so kernel.spec turns the others into "_":
// "7.2.0-200.fc44.x86_64+64k-debug" provides "... = 7.2.0-200.fc44.x86_64+64k_debug".
func unameVersion(release string) string {
	version, rest, found := strings.Cut(release, "-")
	if !found {
		return release
	}
	return version + "-" + strings.ReplaceAll(rest, "-", "_")
}

// belongsTo says whether one of the provides is "X-uname-r = version".
func belongsTo(provides []string, version string) bool {
	for _, p := range provides {
		name, value, _ := strings.Cut(p, " = ")
		if strings.HasSuffix(name, unameSuffix) && value == version {
			return true
		}
	}
	return false
}

// offered says whether a repository offers one of the packages, and DNF would install it.
func offered(packages []Package) bool {
	return slices.ContainsFunc(packages, func(p Package) bool { return p.RepoID != "" && !p.Excluded })
}

// nameOf returns the name in NAME-VERSION-RELEASE.ARCH; neither version nor
// release holds a dash.
func nameOf(nevra string) string {
	for range 2 {
		if dash := strings.LastIndexByte(nevra, '-'); dash > 0 {
			nevra = nevra[:dash]
		}
	}
	return nevra
}

// withoutZeroEpoch turns libdnf5's "full NEVRA" into the NEVRA that rpm prints.
// A "0:" can stand nowhere else: names, versions and releases hold no colon.
func withoutZeroEpoch(nevra string) string {
	return strings.Replace(nevra, "-0:", "-", 1)
}
