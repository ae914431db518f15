// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// newest returns the newest of the releases that are of the same variant as the running one, and
// not older than it: whoever runs a kernel for debugging, or one with larger pages, goes on with it.
func newest(releases []string, running string) string {
	found := running
	for _, r := range releases {
		if variant(r) == variant(running) && compareReleases(r, found) > 0 {
			found = r
		}
	}
	return found
}

// variants are the ends of releases that name one: what Fedora puts behind a "+", as in
// 5.14.0-503.11.1.el9_5.aarch64+64k, Debian, SUSE and Ubuntu behind the last number, as in
// 7.2.12+deb14-cloud-amd64, and Oracle into the distribution, as in 5.15.0-300.163.18.el9uek.x86_64.
var variants = regexp.MustCompile(`-[^+]*\+(.+)$|-([a-z][a-z0-9-]*)$|\.el[0-9]+(uek)`)

// variant returns the variant of a kernel, empty for the default one of a distribution.
func variant(release string) string {
	found := variants.FindStringSubmatch(release)
	return strings.Join(found[min(1, len(found)):], "")
}

var releaseParts = regexp.MustCompile(`[0-9]+|[a-z]+`)

// compareReleases compares kernel releases as people do: number by number. A number is more than a
// word.
func compareReleases(a, b string) int {
	return slices.CompareFunc(releaseParts.FindAllString(a, -1), releaseParts.FindAllString(b, -1), func(x, y string) int {
		switch {
		case isNumber(x) && isNumber(y):
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
		case isNumber(x):
			return 1
		case isNumber(y):
			return -1
		}
		return strings.Compare(x, y)
	})
}

func isNumber(part string) bool { return part[0] >= '0' && part[0] <= '9' }

// releaseIn returns the release that a text names, such as the path of a kernel's image; empty if it
// names none of them.
func releaseIn(text string, releases []string) (found string) {
	for _, r := range releases {
		if at := strings.Index(text, r); at >= 0 && len(r) > len(found) && endsAt(text, at-1) && endsAt(text, at+len(r)) {
			found = r
		}
	}
	return found
}

// endsAt says whether a name ends, or begins, beside the byte at a place of a text.
func endsAt(text string, place int) bool {
	return place < 0 || place >= len(text) || strings.IndexByte("-/ ", text[place]) >= 0
}
