// SPDX-License-Identifier: Apache-2.0

package driverd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayWrite are the files of driverd that write to disk, and where.
var mayWrite = []string{
	"cmd/driverd/image.go",      // packages, in the tree of an image
	"cmd/driverd/preinstall.go", // packages and a log, before the service runs
	"cmd/driverd/record.go",     // a folder that somebody names, as whoever that is
	"daemon/load/early.go",      // a module root in /tmp
	"daemon/load/offer.go",      // drivers_probe of sysfs, which passes over a device that has a driver
	"daemon/load/outcome.go",    // /run/driverd/load
	"daemon/state",              // /var/lib/driverd
	"dnfbridge/command.go",      // dnf5's cache in /tmp, and the packages that it fetched
}

// writers are the calls that can change a file.
var writers = map[string][]string{
	"os": {
		"Chmod", "Chown", "CopyFS", "Create", "CreateTemp", "Lchown", "Link", "Mkdir", "MkdirAll", "MkdirTemp", "OpenFile", "OpenInRoot", "OpenRoot",
		"Remove", "RemoveAll", "Rename", "Symlink", "Truncate", "WriteFile",
	},
	"unix": {
		"Creat", "Mount", "Pwrite", "Renameat", "Symlinkat", "Unlink", "Unlinkat", "Write",
		"O_APPEND", "O_CREAT", "O_RDWR", "O_TRUNC", "O_WRONLY", // for Open
	},
	"syscall": {"Creat", "Mount", "Open", "Rename", "Unlink", "Write"},
}

// A device that works is never unbound, reset or reloaded: that would take a
// write to sysfs, and nothing of the service writes anywhere but to folders of
// its own, and to one file of sysfs that can do no harm. modprobe(8) is only ever told to load.
func TestNothingWritesToSysfs(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	seen := 0
	for _, dir := range []string{"api", "cmd/driverd", "daemon", "dnfbridge", "hwdetect", "plan", "reason"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			seen++
			file, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			own := slices.ContainsFunc(mayWrite, func(p string) bool { return strings.HasPrefix(path, p) })
			ast.Inspect(file, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && (literal.Value == `"-r"` || literal.Value == `"--remove"` || strings.Contains(literal.Value, "rmmod")) {
					t.Errorf("%s: %s could remove a module", files.Position(n.Pos()), literal.Value)
				}
				call, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if from, ok := call.X.(*ast.Ident); ok && !own && slices.Contains(writers[from.Name], call.Sel.Name) {
					t.Errorf("%s: %s.%s could write", files.Position(n.Pos()), from.Name, call.Sel.Name)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 50 {
		t.Errorf("only %d files seen", seen)
	}
}
