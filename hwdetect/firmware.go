// SPDX-License-Identifier: Apache-2.0

package hwdetect

import (
	"io/fs"
	"strings"
)

// IsFirmware says whether a name stands for one file below the folder of
// firmware, also where a package manager would read it as a pattern.
func IsFirmware(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`*?[]{}\`, r)
	})
}
