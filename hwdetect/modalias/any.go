// SPDX-License-Identifier: Apache-2.0

package modalias

import (
	"fmt"
	"strconv"
	"strings"
)

// anyRest is what follows prefixCap in an identity that Any made.
const anyRest = "*sd*bc*sc*i*"

// Any returns the identity that stands for every device of a product, whatever
// its subsystem and class are. In a Table it is matched by every pattern that
// a device of the product may match: one that asks for a subsystem or a class claims
// some of them. Match is true of those alone that claim them all.
func Any(vendor, product uint16) string {
	return fmt.Sprintf("pci:v%08Xd%08Xsv", vendor, product) + anyRest
}

// IsAny says whether an identity is one that Any made.
func IsAny(name string) bool {
	return len(name) == prefixCap+len(anyRest) && name[prefixCap:] == anyRest
}

// Key returns as much of an identity as a Table looks patterns up by: one that
// matches the identity, or in a Table what Any made, and spells out more than
// that begins with it.
func Key(name string) string { return name[:min(len(name), prefixCap)] }

// ParseProduct reads vendor and product as lspci -n prints them, "8086:10c9",
// in either case.
func ParseProduct(s string) (vendor, product uint16, err error) {
	const digits = 4
	left, right, _ := strings.Cut(s, ":")
	v, vErr := strconv.ParseUint(left, 16, 16)
	p, pErr := strconv.ParseUint(right, 16, 16)
	if vErr != nil || pErr != nil || len(left) != digits || len(right) != digits {
		return 0, 0, fmt.Errorf("cannot read %.80q as vendor and product: want a form like 8086:10c9", s)
	}
	return uint16(v), uint16(p), nil
}

// mayMatch says whether a pattern may match a device of the product that an identity
// made by Any stands for.
func mayMatch(pattern, any string) bool {
	if subsystem := strings.Index(pattern, "sv"); subsystem >= 0 {
		return Match(pattern[:subsystem], any[:prefixCap-len("sv")])
	}
	return Match(pattern, any)
}
