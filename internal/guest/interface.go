// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"path/filepath"
	"strings"

	"driverd/internal/tree"
)

// attributeSize is the most that an attribute of sysfs can hold, in bytes.
const attributeSize = 4096

// InterfaceState returns whether a function of a device, "net/enp1s0", or "net/eth0/enP1s1",
// of which it is the first that the guest uses, is "up" or "down" in the guest under root. It is empty for what is no network interface, or does
// not say (Linux: Documentation/networking/operstates.rst).
func InterfaceState(root, function string) string {
	name, ok := strings.CutPrefix(function, "net/")
	name, _, _ = strings.Cut(name, "/")
	if !ok || name == "." || name == ".." {
		return ""
	}
	text, err := tree.At(root).Read(filepath.Join("sys/class/net", name, "operstate"), attributeSize)
	if state := strings.TrimSpace(string(text)); err == nil && (state == "up" || state == "down") {
		return state
	}
	return ""
}
