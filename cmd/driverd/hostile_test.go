// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"driverd/internal/testtree"
)

// A record is a folder that a stranger has sent. Whatever is in the place of a file that
// is read, there is an answer or an error, soon and in little memory.
func TestHostileRecord(t *testing.T) {
	t.Parallel()
	const modules, kept = "lib/modules/7.2.12-test", "var/lib/driverd"
	link := func(target string) func(string) error {
		return func(path string) error { return os.Symlink(target, path) }
	}
	fifo := func(path string) error { return syscall.Mkfifo(path, 0o644) }
	sparse := func(path string) error {
		file, err := os.Create(path)
		if err == nil {
			err = file.Truncate(200 << 30)
			_ = file.Close()
		}
		return err
	}
	for what, spoil := range map[string]func(string) error{
		"a FIFO": fifo, "sparse": sparse, "a link to /dev/zero": link("/dev/zero"), "a link to itself": link("itself"),
		"a link out": link("../../../../../../../../../../etc/passwd"), "a folder": func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		root := guestTree(t, filepath.Join(t.TempDir(), "root"))
		bus := nowhere(t)
		for _, name := range []string{
			modules + "/modules.alias", modules + "/modules.dep", modules + "/modules.builtin.modinfo", modules + "/modules.catalog",
			kept + "/catalog-7.2.12-test.json", kept + "/history.json", kept + "/mode", kept, "var", "dev/kmsg", "dev",
			"etc/driverd/driverd.toml", "etc/driverd/driverd.toml.d", "etc/driverd/driverd.toml.d/x.toml", "etc/driverd",
			"sys/module/firmware_class/parameters/path", "lib/firmware", modules, "lib/modules", "sys/bus/pci/devices/0000:01:00.0/modalias",
			"sys/bus/pci/devices/0000:01:00.0", "sys/bus/pci/devices", "sys",
		} {
			path, aside := filepath.Join(root, name), filepath.Join(t.TempDir(), "aside")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			was := os.Rename(path, aside) == nil
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for _, args := range [][]string{{"explain", "--root", root, "0000:01:00.0"}, {"daemon", "--check-config", "--root", root}} {
				var said strings.Builder
				code := run(t.Context(), args, console{stdout: &said, stderr: &said, bus: bus, gate: open})
				if strings.Contains(said.String(), "root:x:0:0") {
					t.Errorf("%s is %s: %v quotes what is outside:\n%s", name, what, args, &said)
				}
				if code != 0 && said.Len() == 0 {
					t.Errorf("%s is %s: %v: status %d, and no word", name, what, args, code)
				}
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("%s is %s: it takes %s", name, what, took)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if was {
				if err := os.Rename(aside, path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// The user driverd may have made a link of what the service keeps, and root may be who
// records: it holds nothing of what the link leads to, and nothing that gives access.
func TestRecordOfHostileState(t *testing.T) {
	t.Parallel()
	root := guestTree(t, filepath.Join(t.TempDir(), "root"))
	kept := filepath.Join(root, "var/lib/driverd")
	testtree.Write(t, filepath.Join(root, "etc/shadow"), "root:$y$hash")
	testtree.Write(t, filepath.Join(kept, "history.json"), `{"version":1,"entries":[`+
		`{"Action":"install","Message":"Status code: 401 for https://svc:Tr0ub4dor@mirror.example/AbCdEfGh12345678/repodata/repomd.xml (IP: 192.0.2.10)"},`+
		`{"Action":"install","Message":"Unsupported proxy syntax in 'jdoe:Spec@ial\"!@proxy.example:3128'; cannot download svc_S3cr3tInId_40mirror.example_el9"}]}`)
	if err := os.Symlink("/etc/shadow", filepath.Join(kept, "mode")); err != nil {
		t.Fatal(err)
	}
	catalog := filepath.Join(kept, "catalog-7.2.12-test.json")
	if err := os.Remove(catalog); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../etc/shadow", catalog); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "record")
	var out, complaints strings.Builder
	if code := run(t.Context(), []string{"record", dir}, console{stdout: &out, stderr: &complaints, root: root, bus: nowhere(t), gate: open}); code != 0 {
		t.Fatalf("%d %s%s", code, &out, &complaints)
	}
	for _, name := range []string{"mode", "catalog-7.2.12-test.json"} {
		if !strings.Contains(out.String(), name+": path escapes") {
			t.Errorf("it does not say that it lacks %s:\n%s", name, &out)
		}
	}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Type()&os.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has the mode %o", path, mode)
		}
		if entry.IsDir() {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, secret := range []string{"$y$", "Tr0ub4dor", "AbCdEfGh", "@ial", "S3cr3t", "192.0.2.10"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds %s", path, secret)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A command that reads what never answers ends with Ctrl-C.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	never, _ := io.Pipe()
	defer func() { _ = never.Close() }()
	interrupt()
	if _, err := interruptible(ctx, func() (int, error) { return never.Read(make([]byte, 1)) }); err == nil {
		t.Error("it says nothing of its end")
	}
}
