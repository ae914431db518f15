// SPDX-License-Identifier: Apache-2.0

package driverd_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A device that works is never unbound, reset or reloaded: that would take a
// write to sysfs. So nothing that driverd is made of changes anything, but by the
// calls that writes lists, file by file. Each package that is used is in inert, or
// in harmless with each of its functions that is used; all else is an error.
//
// What is judged is the call that gets hold of something: a file that is open for
// writing, a socket, a bus, a process. What is written to it later, as to an
// io.Writer, is not seen.
func TestNothingWritesToSysfs(t *testing.T) {
	t.Parallel()
	packages := goList(t, "-export", "-deps", "./cmd/driverd")
	exports := make(map[string]string)
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	files := token.NewFileSet()
	imports := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c := checker{files: files, root: here + "/", used: make(map[string]bool)}
	seen := 0
	for _, p := range packages {
		if !strings.HasPrefix(p.ImportPath, module) {
			continue
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s is made of C, which is not looked into", p.ImportPath)
		}
		var parsed []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
		}
		c.info = &types.Info{Uses: make(map[*ast.Ident]types.Object), Types: make(map[ast.Expr]types.TypeAndValue)}
		if _, err := (&types.Config{Importer: imports}).Check(p.ImportPath, files, parsed, c.info); err != nil {
			t.Fatal(err)
		}
		for _, file := range parsed {
			seen++
			c.file(file)
		}
	}
	for _, complaint := range c.complaints {
		t.Error(complaint)
	}
	if seen < 100 {
		t.Errorf("only %d files seen", seen)
	}
	for _, w := range writes {
		for _, call := range w.calls {
			if !c.used[w.path+" "+call] {
				t.Errorf("%s may call %s (%s), and does not", w.path, call, w.what)
			}
		}
	}
}

// checker looks through the files of one package after the other.
type checker struct {
	files      *token.FileSet
	root       string // of this module, with a slash
	info       *types.Info
	used       map[string]bool // of writes: "PATH CALL"
	complaints []string
}

func (c *checker) complain(pos token.Pos, what string) {
	at := c.files.Position(pos)
	c.complaints = append(c.complaints, fmt.Sprintf("%s:%d: %s", strings.TrimPrefix(at.Filename, c.root), at.Line, what))
}

// file looks for what could write in a file.
func (c *checker) file(file *ast.File) {
	for _, imported := range file.Imports {
		path := strings.Trim(imported.Path.Value, `"`)
		if _, listed := harmless[path]; !listed && !slices.Contains(inert, path) && !strings.HasPrefix(path, module) {
			c.judge(imported.Pos(), path, path)
		}
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if strings.HasPrefix(comment.Text, "//go:linkname") {
				c.complain(comment.Pos(), comment.Text+" gets round this test")
			}
		}
	}
	judged := make(map[*ast.Ident]bool) // with their arguments
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if n.Value == `"-r"` || n.Value == `"--remove"` || strings.Contains(n.Value, "rmmod") {
				c.complain(n.Pos(), n.Value+" could remove a module")
			}
		case *ast.CallExpr:
			if method, ok := n.Fun.(*ast.SelectorExpr); ok {
				if function, ok := c.info.Uses[method.Sel].(*types.Func); ok {
					judged[method.Sel] = true
					c.call(n, function)
				}
			}
		case *ast.Ident: // a function that is passed on is as good as called
			switch used := c.info.Uses[n].(type) {
			case *types.Func:
				if !judged[n] {
					c.call(&ast.CallExpr{Fun: n}, used)
				}
			case *types.TypeName: // a command can be made without a function
				if used.Pkg() != nil && used.Pkg().Path() == "os/exec" && used.Name() == "Cmd" {
					c.judge(n.Pos(), "os/exec", "exec.Cmd")
				}
			}
		}
		return true
	})
}

// call judges a call of a function, whose arguments are not known if it has none.
func (c *checker) call(call *ast.CallExpr, function *types.Func) {
	if function.Pkg() == nil {
		return // the method of error
	}
	path := function.Pkg().Path()
	name := strings.ReplaceAll(function.FullName(), path+".", "")
	switch {
	case strings.HasPrefix(path, module) || slices.Contains(inert, path) || slices.Contains(harmless[path], name):
	case path == "os/exec" && name == "CommandContext":
		program := "?"
		if len(call.Args) > 1 {
			if value := c.info.Types[call.Args[1]].Value; value != nil && value.Kind() == constant.String {
				program = constant.StringVal(value)
			}
		}
		c.judge(call.Pos(), path, "exec "+program)
	case path == "golang.org/x/sys/unix" && (name == "Open" || name == "Openat") && c.reads(call):
	default:
		c.judge(call.Pos(), path, function.FullName())
	}
}

// reads says whether a call of Open or Openat opens for reading, and makes nothing.
func (c *checker) reads(call *ast.CallExpr) bool {
	if len(call.Args) < 3 {
		return false
	}
	flags := c.info.Types[call.Args[len(call.Args)-2]].Value
	if flags == nil {
		return false
	}
	n, exact := constant.Int64Val(flags)
	return exact && n&^(unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_DIRECTORY|unix.O_PATH) == unix.O_RDONLY
}

// judge complains of a call into a package, if neither is what the file may do.
func (c *checker) judge(pos token.Pos, path, call string) {
	file := strings.TrimPrefix(c.files.Position(pos).Filename, c.root)
	for _, w := range writes {
		for _, allowed := range w.calls {
			if (w.path == file || w.path == filepath.Dir(file)) && (allowed == call || allowed == path) {
				c.used[w.path+" "+allowed] = true
				return
			}
		}
	}
	c.complain(pos, call+" could write, or is not known not to: see writes, harmless and inert")
}

// The test sees each way to write, however it is spelled.
func TestWaysToWriteAreSeen(t *testing.T) {
	t.Parallel()
	exports := make(map[string]string)
	for _, p := range goList(t, "-export", "-deps", "os/exec", "net", "net/http", "syscall", "plugin", "golang.org/x/sys/unix", "github.com/google/renameio/v2", "github.com/godbus/dbus/v5") {
		exports[p.ImportPath] = p.Export
	}
	for _, way := range []string{
		`import "os"; func f() { os.WriteFile("", nil, 0) }`,
		`import o "os"; func f() { o.Create("") }`,
		`import . "os"; func f() { Rename("", "") }`,
		`import "os"; var f = os.Remove`,
		`import "os"; func f() { os.OpenFile("", os.O_RDWR, 0) }`,
		`import "os"; func f(d *os.Root) { d.Mkdir("", 0) }`,
		`import "os"; func f(d *os.File) { d.Chmod(0) }`,
		`import "os"; type F struct { *os.File }; func f(d F) { d.WriteString("") }`,
		`import "os"; func f() { os.Symlink("", ""); }`,
		`import "os"; func f() { os.StartProcess("", nil, nil) }`,
		`import "os/exec"; func f() { exec.Command("true") }`,
		`import ("context"; "os/exec"); func f(p string) { exec.CommandContext(context.Background(), p) }`,
		`import "os/exec"; func f() { (&exec.Cmd{Path: "true"}).Run() }`,
		`import "golang.org/x/sys/unix"; func f() { unix.Open("", unix.O_WRONLY, 0) }`,
		`import "golang.org/x/sys/unix"; func f(flags int) { unix.Openat(0, "", flags, 0) }`,
		`import "golang.org/x/sys/unix"; var f = unix.Open`,
		`import "golang.org/x/sys/unix"; func f() { unix.Unlinkat(0, "", 0) }`,
		`import "golang.org/x/sys/unix"; func f() { unix.Syscall(0, 0, 0, 0) }`,
		`import "syscall"; func f() { syscall.Mount("", "", "", 0, "") }`,
		`import "net"; func f() { net.Dial("unix", "") }`,
		`import "net"; func f() { (&net.Dialer{}).Dial("unix", "") }`,
		`import _ "net/http"`,
		`import _ "plugin"`,
		`import _ "unsafe"`,
		`import "github.com/google/renameio/v2"; func f() { renameio.Symlink("", "") }`,
		`import "github.com/godbus/dbus/v5"; func f() { dbus.SystemBus() }`,
	} {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, "way.go", "package way; "+way, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		c := checker{files: files}
		c.info = &types.Info{Uses: make(map[*ast.Ident]types.Object), Types: make(map[ast.Expr]types.TypeAndValue)}
		imports := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
		if _, err := (&types.Config{Importer: imports}).Check("way", files, []*ast.File{file}, c.info); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		c.file(file)
		if len(c.complaints) == 0 {
			t.Errorf("it is not seen: %s", way)
		}
	}
}
