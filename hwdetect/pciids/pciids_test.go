// SPDX-License-Identifier: Apache-2.0

package pciids_test

import (
	"io"
	"strings"
	"testing"

	"driverd/hwdetect/pciids"
)

const list = `# comment
#	Version: 2026.11.01

0001  Somebody
	10c9  Not the one
8086  Intel Corporation
	10c8  Before
		8086 a03c  A subsystem
	10c9  82576 Gigabit Network Connection
		8086 10c9  Another subsystem
broken line
8087  Next
	10ca  Of the next
C 02  Network controller
	00  Ethernet controller
ffff  Behind the classes
`

func TestFind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		vendor, product         uint16
		vendorName, productName string
	}{
		{0x8086, 0x10c9, "Intel Corporation", "82576 Gigabit Network Connection"},
		{0x8086, 0x10c8, "Intel Corporation", "Before"},
		{0x8086, 0x10ca, "Intel Corporation", ""},
		{0x8087, 0x10ca, "Next", "Of the next"},
		{0x1234, 0x11e8, "", ""},
		{0xffff, 0, "", ""},
	} {
		vendor, product := pciids.Find(strings.NewReader(list), test.vendor, test.product)
		if vendor != test.vendorName || product != test.productName {
			t.Errorf("%04x:%04x is %q %q", test.vendor, test.product, vendor, product)
		}
	}
}

// hostile are lists that are broken, or made to break something.
var hostile = []string{
	"", "8086", "8086  ", "\t", "\t\t", "8086  A\n\t10c9", strings.Repeat("x", 1<<20),
	"8086  \x1b[31mred\n\t10c9  nul\x00 \xff\xfe\u202egnol", "-8086  A", "+8086  A", "0x8086  A", "8_086  A",
	"8086  A\r\n\t10c9  B\r\n", "C 8086  A\n8086  B",
}

func TestHostileLists(t *testing.T) {
	t.Parallel()
	for _, list := range hostile {
		vendor, product := pciids.Find(strings.NewReader(list), 0x8086, 0x10c9)
		if strings.ContainsAny(vendor+product, "\x00\x1b\r\u202e") {
			t.Errorf("%q makes %q %q", list, vendor, product)
		}
	}
}

// A list whose line is longer than any list's ends there.
func TestLineWithoutEnd(t *testing.T) {
	t.Parallel()
	const before = "8086  Intel\n"
	vendor, product := pciids.Find(io.MultiReader(strings.NewReader(before), endless{}), 0x8086, 0x10c9)
	if vendor != "Intel" || product != "" {
		t.Errorf("%q %q", vendor, product)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
