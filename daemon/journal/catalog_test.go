// SPDX-License-Identifier: Apache-2.0

package journal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon/journal"
)

const (
	module  = "../.."
	catalog = module + "/units/driverd.catalog"
)

// TestCatalogIsThatOfTheIDs sees that each entry of the journal is explained,
// and nothing else, in one order.
func TestCatalogIsThatOfTheIDs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(catalog)
	if err != nil {
		t.Fatal(err)
	}
	explained := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^# (?:event|state|reason) (\S+)\n-- (.*)\nSubject: \S.*\nDefined-By: driverd\nDocumentation: man:driverd\(8\)\n\n\S`).FindAllStringSubmatch(string(text), -1) {
		explained[m[1]] = m[2]
	}
	ids := journal.IDs()
	if diff := cmp.Diff(ids, explained); diff != "" {
		t.Errorf("daemon/journal/ids.go and units/driverd.catalog differ:\n%s", diff)
	}
	if heads := strings.Count(string(text), "\n-- "); heads != len(explained) {
		t.Errorf("%d entries in the catalog, %d of them well-formed", heads, len(explained))
	}
	seen := make(map[string]string)
	for about, id := range ids {
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) || seen[id] != "" {
			t.Errorf("%s has the id %q, as has %q", about, id, seen[id])
		}
		seen[id] = about
	}
	for field := range strings.SplitSeq(string(text), "@DRIVERD_") {
		if name, _, ok := strings.Cut(field, "@"); ok && name == strings.ToUpper(name) && !slices.Contains(journal.Fields(), strings.ToLower(name)) {
			t.Errorf("the catalog shows DRIVERD_%s, which no entry has", name)
		}
	}
	for i, line := range strings.Split(string(text), "\n") {
		if len(line) > 80 {
			t.Errorf("line %d of the catalog is too long for a console", i+1)
		}
	}
}

// TestJournaldTakesTheCatalog has systemd compile the catalog and read it back.
func TestJournaldTakesTheCatalog(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(catalog)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "usr/lib/systemd/catalog"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "usr/lib/systemd/catalog/driverd.catalog"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	// With --root, systemd has neither the messages nor the database of this machine.
	run := func(args ...string) string {
		out, err := exec.Command("journalctl", append([]string{"--root=" + root}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("journalctl %v: %v %s", args, err, out)
		}
		return string(out)
	}
	if complaints := run("--update-catalog"); complaints != "" {
		t.Errorf("journalctl --update-catalog says: %s", complaints)
	}
	list := run("--list-catalog")
	for about, id := range journal.IDs() {
		if !strings.Contains(list, id+" driverd: ") {
			t.Errorf("systemd does not know %s %s", about, id)
		}
	}
	if got := strings.Count(list, "\n"); got != len(journal.IDs()) {
		t.Errorf("systemd knows %d messages, want %d", got, len(journal.IDs()))
	}
}

// TestSourceKeepsToTheTable reads the code: every entry that reaches the
// journal says what it is about in a field that has an id, in no field that the
// journal leaves out, and no id is there for nothing.
func TestSourceKeepsToTheTable(t *testing.T) {
	t.Parallel()
	unused := journal.IDs()
	files := token.NewFileSet()
	err := filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "lab", "packaging"}, d.Name()):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && !strings.HasSuffix(path, "journal/ids.go") {
				delete(unused, strings.Trim(literal.Value, `"`))
			}
			return true
		})
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if level, chain := logged(call); level != "" {
					checkEntry(t, files.Position(call.Pos()).String(), level, chain)
					return false
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for about := range unused {
		t.Errorf("there is an id for %q, which nothing logs", about)
	}
}

// logged takes a chain of calls apart, log.Warn().Str("event", "x").Msg("y"),
// and returns its level, which is empty if it logs nothing, and the values of
// its fields by their names; "?" is what is no literal.
func logged(call *ast.CallExpr) (level string, chain map[string][]string) {
	chain = make(map[string][]string)
	for {
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return "", nil
		}
		var arguments []string
		for _, argument := range call.Args {
			text := "?"
			if literal, ok := argument.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, _ = strconv.Unquote(literal.Value)
			}
			arguments = append(arguments, text)
		}
		if len(arguments) == 2 && arguments[0] != "?" && !strings.HasPrefix(method.Sel.Name, "Msg") {
			chain[arguments[0]] = append(chain[arguments[0]], arguments[1])
		}
		switch receiver := method.X.(type) {
		case *ast.CallExpr:
			if method.Sel.Name == "Err" {
				chain["error"] = nil
			}
			call = receiver
			continue
		case *ast.Ident:
			level = levelOf(method.Sel.Name, receiver.Name)
		case *ast.SelectorExpr:
			level = levelOf(method.Sel.Name, receiver.Sel.Name)
		}
		return level, chain
	}
}

func levelOf(method, receiver string) string {
	if strings.EqualFold(receiver, "log") && slices.Contains([]string{"Debug", "Info", "Warn", "Error", "WithLevel"}, method) {
		return method
	}
	return ""
}

func checkEntry(t *testing.T, where, level string, chain map[string][]string) {
	about := false
	if level == "Debug" {
		return // for whoever works on driverd
	}
	for field, values := range chain {
		if !slices.Contains(journal.Fields(), field) {
			t.Errorf("%s: the journal leaves out the field %q: say it in the message", where, field)
		}
		for _, value := range values {
			if field == "event" && value != "?" && journal.IDs()[value] == "" {
				t.Errorf("%s: the event %q has no id in daemon/journal/ids.go: %v", where, value, slices.Sorted(maps.Keys(journal.IDs())))
			}
		}
		about = about || field == "event" || field == "state"
	}
	if !about {
		t.Errorf("%s: the entry has neither an event nor a state that says what it is about (see daemon/journal/ids.go)", where)
	}
}
