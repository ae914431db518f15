// SPDX-License-Identifier: Apache-2.0

package pciids_test

import (
	"strings"
	"testing"
	"unicode"

	"driverd/hwdetect/pciids"
)

// FuzzFind sees that no list makes a name that a bus or a terminal would choke
// on, and that what follows an entry does not change it.
func FuzzFind(f *testing.F) {
	for _, list := range append(hostile, list) {
		f.Add(list, uint16(0x8086), uint16(0x10c9))
	}
	f.Fuzz(func(t *testing.T, list string, vendor, product uint16) {
		vendorName, productName := pciids.Find(strings.NewReader(list), vendor, product)
		if vendorName == "" && productName != "" {
			t.Errorf("a product %q without a vendor", productName)
		}
		for _, name := range []string{vendorName, productName} {
			if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) || name != strings.ToValidUTF8(name, "") {
				t.Errorf("a name that cannot be shown: %q", name)
			}
		}
		const entry = "8086  Intel\n\t10c9  82576\n"
		if v, p := pciids.Find(strings.NewReader(entry+list), 0x8086, 0x10c9); v != "Intel" || p != "82576" {
			t.Errorf("with %q behind it, the entry is %q %q", list, v, p)
		}
	})
}
