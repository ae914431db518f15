// SPDX-License-Identifier: Apache-2.0

package kernelbuild_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"driverd/kernelbuild"
)

// spellReleases are the files that write '_' for '-' in the release of a kernel,
// as its spec does for the version of a capability. That is no name of a module.
var spellReleases = []string{"../dnfbridge/package.go", "../kernelsplit/provides.go"}

// No code but this package's lists the groups, or spells the names of modules.
func TestOnePlace(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	seen := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{"../.git", "../kernelbuild", "../lab", "../vendor"}, path):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		seen++
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if slices.Contains(kernelbuild.Groups(), literal(n)) {
					t.Errorf("%s: %s is the name of a group: say kernelbuild's", files.Position(n.Pos()), n.Value)
				}
			case *ast.CallExpr:
				if last := len(n.Args) - 1; last > 0 && literal(n.Args[last-1]) == "-" && literal(n.Args[last]) == "_" && !slices.Contains(spellReleases, path) {
					t.Errorf("%s: a name is spelled: say kernelbuild.ModuleName", files.Position(n.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil || seen < 100 {
		t.Errorf("%d files seen: %v", seen, err)
	}
}

// literal returns the string that an expression is, if it is one.
func literal(e ast.Expr) string {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(l.Value)
	return text
}
