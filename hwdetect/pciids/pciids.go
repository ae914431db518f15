// SPDX-License-Identifier: Apache-2.0

// Package pciids knows the names of PCI vendors and products, from the list
// that hwdata (on Debian: pci.ids) installs. Format: the head of pci.ids.
package pciids

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"

	"driverd/internal/printable"
)

// paths are where distributions put the list; the first that exists is read.
var paths = []string{"/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids"}

// Names returns the names of a vendor and its product, empty where the list
// does not know them or there is no list. It reads the list each time: a guest
// has few devices, and the list is a megabyte that nobody needs to keep.
func Names(vendor, product uint16) (vendorName, productName string) {
	for _, path := range paths {
		if file, err := os.Open(path); err == nil {
			defer func() { _ = file.Close() }()
			return Find(file, vendor, product)
		}
	}
	return "", ""
}

// Find looks the names up in a list. A list that ends early, or in garbage,
// knows what it has said until then.
func Find(list io.Reader, vendor, product uint16) (vendorName, productName string) {
	for lines := bufio.NewScanner(list); lines.Scan(); {
		line := lines.Bytes()
		if bytes.HasPrefix(line, []byte("C ")) {
			break // the list of classes follows that of vendors
		}
		switch {
		case len(line) == 0 || line[0] == '#' || bytes.HasPrefix(line, []byte("\t\t")):
		case line[0] != '\t':
			if vendorName != "" {
				return vendorName, "" // the next vendor begins
			}
			vendorName = nameOf(line, vendor)
		case vendorName != "":
			if productName = nameOf(line[1:], product); productName != "" {
				return vendorName, productName
			}
		}
	}
	return vendorName, ""
}

// nameOf returns the name in a line "8086  Intel Corporation" if it is id's.
func nameOf(line []byte, id uint16) string {
	digits, name, ok := bytes.Cut(line, []byte("  "))
	if n, err := strconv.ParseUint(string(digits), 16, 16); !ok || err != nil || uint16(n) != id {
		return ""
	}
	return strings.TrimSpace(printable.Text(string(name)))
}
