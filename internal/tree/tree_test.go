// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"driverd/internal/tree"
)

// hostile makes a folder as somebody may send it, beside one that he is not to see.
func hostile(t *testing.T) tree.Tree {
	t.Helper()
	outside := t.TempDir()
	dir := filepath.Join(outside, "sent")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600))
	do(os.MkdirAll(filepath.Join(dir, "usr/lib"), 0o755))
	do(os.WriteFile(filepath.Join(dir, "usr/lib/file"), []byte("text"), 0o600))
	do(os.WriteFile(filepath.Join(dir, "huge"), nil, 0o600))
	do(os.Truncate(filepath.Join(dir, "huge"), 200<<30))
	do(syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	for name, target := range map[string]string{
		"lib": "usr/lib", "usr/lib/link": "../../usr/lib/file", // as distributions have them
		"zero": "/dev/zero", "secret": "../secret", "absolute": filepath.Join(outside, "secret"), "itself": "itself",
		"out": "..", "null": "/dev/null", "to-fifo": "fifo", "dangling": "nowhere",
	} {
		do(os.Symlink(target, filepath.Join(dir, name)))
	}
	return tree.At(dir)
}

func TestRead(t *testing.T) {
	t.Parallel()
	sent := hostile(t)
	for _, name := range []string{"usr/lib/file", "lib/file", "lib/link"} {
		if text, err := sent.Read(name, 4); string(text) != "text" || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for name, want := range map[string]string{
		"huge": "bytes", "lib/file": "holds 4 bytes", "fifo": "not a regular file", "to-fifo": "not a regular file", "lib": "not a regular file",
		"zero": "escapes", "secret": "escapes", "absolute": "escapes", "out/secret": "escapes", "../secret": "escapes", "null": "escapes",
		"itself": "too many", "dangling": "no such file", "nothing": "no such file", "usr/lib/file/below": "not a directory",
	} {
		text, err := sent.Read(name, 3)
		if text != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Join(sent.Path(), name)) {
			t.Errorf("%s: %q, %v, want %q", name, text, err, want)
		}
		if missing := want == "no such file"; errors.Is(err, fs.ErrNotExist) != missing {
			t.Errorf("%s does not exist: %t, want %t", name, !missing, missing)
		}
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	sent := hostile(t)
	if names, err := sent.Names("lib"); !slices.Equal(names, []string{"file", "link"}) || err != nil {
		t.Errorf("%q, %v", names, err)
	}
	for _, name := range []string{"out", "itself", "fifo", "huge"} {
		if names, err := sent.Names(name); names != nil || err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s holds %q: %v", name, names, err)
		}
		if dir, err := sent.Folder(name); dir != "" || err == nil {
			t.Errorf("%s is %s", name, dir)
		}
	}
	if names, err := sent.Names("nothing"); names != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%q, %v", names, err)
	}
	if dir, err := sent.Folder("nothing/there"); dir != filepath.Join(sent.Path(), "nothing/there") || err != nil {
		t.Errorf("%s, %v", dir, err)
	}
	if target, err := sent.Readlink("null"); target != "/dev/null" || err != nil {
		t.Errorf("%q, %v", target, err)
	}
}

// In the system itself nothing leads out of the tree, but what is no file stays shut.
func TestSystem(t *testing.T) {
	t.Parallel()
	system := tree.At("/")
	sent := strings.TrimPrefix(hostile(t).Path(), "/")
	for name, want := range map[string]string{"secret": "secret", "absolute": "secret", "lib/file": "text"} {
		if text, err := system.Read(filepath.Join(sent, name), 100); string(text) != want || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for _, name := range []string{"zero", "fifo", "huge", "null"} {
		if text, err := system.Read(filepath.Join(sent, name), 100); text != nil || err == nil {
			t.Errorf("%s: %q", name, text)
		}
	}
	if dir, err := system.Folder("etc"); dir != "/etc" || err != nil {
		t.Errorf("%s, %v", dir, err)
	}
}
