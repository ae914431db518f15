// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"driverd/internal/tree"
)

// changed is when a file was last changed, in nanoseconds.
func changed(t *testing.T, path string) int64 {
	t.Helper()
	var info syscall.Stat_t
	if err := syscall.Stat(path, &info); err != nil {
		t.Fatal(err)
	}
	return info.Ctim.Nano()
}

// TestKept changes files in every way there is, and what was made of them is made anew.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		must(os.WriteFile(path(name), []byte(text), 0o644))
	}
	must(os.Mkdir(path("folder"), 0o755))
	must(os.Mkdir(path("elsewhere"), 0o755))
	write("elsewhere/a", "1")
	write("elsewhere/b", "1")
	write("file", "1")

	var kept tree.Kept[int]
	var reads int
	var broken error
	get := func() (*int, error) {
		return kept.Get(tree.At(dir), []string{"folder", "file", "nowhere"}, func() (int, error) { reads++; return reads, broken })
	}
	then := time.Unix(1700000000, 0)
	for _, change := range []struct {
		name string
		do   func()
	}{
		{"a file is added", func() { write("folder/x", "1") }},
		{"a file is longer", func() { write("folder/x", "12") }},
		{"a file is as long as it was, and as old", func() {
			must(os.Chtimes(path("folder/x"), then, then))
			_, err := get()
			must(err)
			for before := changed(t, path("folder/x")); changed(t, path("folder/x")) == before; { // the kernel's clock for files ticks
				write("folder/x", "34")
				must(os.Chtimes(path("folder/x"), then, then))
			}
		}},
		{"a file is replaced", func() { write("folder/y", "34"); must(os.Rename(path("folder/y"), path("folder/x"))) }},
		{"a file may be read by others", func() { must(os.Chmod(path("folder/x"), 0o600)) }},
		{"a link is added", func() { must(os.Symlink("../elsewhere/a", path("folder/link"))) }},
		{"where it leads to is written to", func() { write("elsewhere/a", "12") }},
		{"it leads elsewhere", func() {
			must(os.Symlink("../elsewhere/b", path("folder/new")))
			must(os.Rename(path("folder/new"), path("folder/link")))
		}},
		{"where it leads to is gone", func() { must(os.Remove(path("elsewhere/b"))) }},
		{"a file of its own is longer", func() { write("file", "12") }},
		{"a file comes that was not there", func() { write("nowhere", "1") }},
		{"a file is gone", func() { must(os.Remove(path("folder/x"))) }},
		{"the folder is gone", func() { must(os.RemoveAll(path("folder"))) }},
	} {
		before, err := get()
		must(err)
		if again, _ := get(); again != before {
			t.Errorf("before %s: read again, though nothing has changed", change.name)
		}
		change.do()
		if after, _ := get(); after == before {
			t.Errorf("%s: not read again", change.name)
		}
	}

	write("file", "broken")
	broken = errors.New("it is broken")
	for range 2 {
		if _, err := get(); !errors.Is(err, broken) {
			t.Errorf("error %v, want %v each time", err, broken)
		}
	}
	broken = nil
	if _, err := get(); err != nil {
		t.Errorf("the error is kept: %v", err)
	}
}
