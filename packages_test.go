// SPDX-License-Identifier: Apache-2.0

package driverd_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// module begins the import paths of this module.
const module = "driverd/"

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath string
	Imports    []string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
	Export     string // file of its types
}

// goList returns the packages that go list says of, given its arguments.
func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	fields := "-json=ImportPath,Imports,Dir,GoFiles,CgoFiles,Export"
	out, err := exec.Command("go", append([]string{"list", fields}, args...)...).Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		t.Fatalf("cannot list the packages: %s", failed.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
