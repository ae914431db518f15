// SPDX-License-Identifier: Apache-2.0

package modalias

import "strings"

// Specificity is how much of a device a pattern names.
type Specificity int

// From the least to the most.
const (
	OfClass   Specificity = iota // neither vendor nor product
	OfVendor                     // the vendor alone
	OfProduct                    // vendor and product
)

// SpecificityOf returns how much of a device a pattern for PCI devices names,
// whatever else it asks for. A field that holds a star is not named.
func SpecificityOf(pattern string) Specificity {
	fields, ok := strings.CutPrefix(pattern, "pci:v")
	vendor, rest, _ := strings.Cut(fields, "d") // the digits are in upper case
	product, _, complete := strings.Cut(rest, "sv")
	switch {
	case !ok || !complete || strings.Contains(vendor, "*"):
		return OfClass
	case strings.Contains(product, "*"):
		return OfVendor
	}
	return OfProduct
}

// Class returns as many of the class's six digits as a pattern spells out: "0108",
// empty if none.
func Class(pattern string) string {
	_, rest, _ := strings.Cut(pattern, "bc")
	base, rest, _ := strings.Cut(rest, "sc")
	sub, rest, _ := strings.Cut(rest, "i")
	digits := ""
	for _, field := range []string{base, sub, strings.TrimRight(rest, "*")} {
		if len(field) != 2 || strings.ContainsAny(field, metacharacters) {
			break
		}
		digits += field
	}
	return strings.ToLower(digits)
}
