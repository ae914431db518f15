// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// EnforcesSignatures says why the kernel of the guest under root loads only modules that are
// signed by a key that it has; it is empty if it loads others as well.
func EnforcesSignatures(root string) string {
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(root, name)) // what is not there enforces nothing
		return strings.TrimSpace(string(text))
	}
	lockdown := read("sys/kernel/security/lockdown")
	switch {
	case strings.Contains(lockdown, "[integrity]"), strings.Contains(lockdown, "[confidentiality]"):
		return "the kernel is locked down, as it is with Secure Boot"
	case read("sys/module/module/parameters/sig_enforce") == "Y":
		return "module.sig_enforce=1"
	}
	return ""
}

// HasKey says whether the kernel has a key for signatures in the description of which a text
// is. Only root sees all keys.
func HasKey(root, text string) (bool, error) {
	keys, err := os.ReadFile(filepath.Join(root, "proc/keys"))
	if err != nil {
		return false, fmt.Errorf("cannot read which keys the kernel has: %w", err)
	}
	for line := range strings.Lines(string(keys)) {
		if f := strings.Fields(line); len(f) > 8 && strings.HasPrefix(f[7], "asymmetri") && strings.Contains(line, text) {
			return true, nil
		}
	}
	return false, nil
}
