// SPDX-License-Identifier: Apache-2.0

// Package pciids knows the names of PCI vendors and products, from the list
// that hwdata (on Debian: pci.ids) installs. Format: the head of pci.ids.
package pciids

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
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
	vendorID, productID := fmt.Appendf(nil, "%04x  ", vendor), fmt.Appendf(nil, "\t%04x  ", product)
	lines := bufio.NewScanner(list)
	lines.Buffer(make([]byte, 32<<10), bufio.MaxScanTokenSize) // few system calls for a long list
	for lines.Scan() {
		line := lines.Bytes()
		switch {
		case bytes.HasPrefix(line, []byte("C ")):
			return vendorName, "" // the list of classes follows that of vendors
		case len(line) == 0 || line[0] == '#' || bytes.HasPrefix(line, []byte("\t\t")):
		case line[0] != '\t':
			if vendorName != "" {
				return vendorName, "" // the next vendor begins
			}
			vendorName = nameOf(line, vendorID)
		case vendorName != "":
			if productName = nameOf(line, productID); productName != "" {
				return vendorName, productName
			}
		}
	}
	return vendorName, ""
}

// nameOf returns the name in a line "8086  Intel Corporation" if it begins so. The
// list has forty thousand lines: they are compared, and not understood.
func nameOf(line, id []byte) string {
	name, ok := bytes.CutPrefix(line, id)
	if !ok {
		return ""
	}
	return strings.TrimSpace(printable.Text(string(name)))
}
