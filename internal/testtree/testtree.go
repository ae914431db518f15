// SPDX-License-Identifier: Apache-2.0

// Package testtree makes the files of a guest for tests.
package testtree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Make makes files, by their names, in a folder that goes away with the test, and
// returns that. A name that ends in "/" is a folder.
func Make(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if !strings.HasSuffix(name, "/") {
			Write(t, filepath.Join(root, name), text)
		} else if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Write makes one file, and the folders above it.
func Write(t testing.TB, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
