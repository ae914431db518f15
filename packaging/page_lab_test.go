// SPDX-License-Identifier: Apache-2.0

//go:build lab

package packaging_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"driverd/lab"
)

// TestPage sees that the spec names the packages of npm that the page is made of, and no
// other, and that translators get the texts that the page has.
func TestPage(t *testing.T) {
	dir, err := lab.Page(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := func(file string) string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var named strings.Builder
	for line := range strings.Lines(read("driverd.spec")) {
		if bundled, ok := strings.CutPrefix(line, "Provides:       "); ok && strings.HasPrefix(bundled, "bundled(npm(") {
			named.WriteString(bundled)
		}
	}
	if want := read(filepath.Join(dir, "bundled")); named.String() != want {
		t.Errorf("driverd.spec names these packages of npm:\n%sand is to name these:\n%s", named.String(), want)
	}
	if read("../cockpit/po/driverd.pot") != read(filepath.Join(dir, "driverd.pot")) {
		t.Error("cockpit/po/driverd.pot has other texts than the page: run make pot")
	}
}
