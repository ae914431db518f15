// SPDX-License-Identifier: Apache-2.0

package driverd_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rules says which packages of this module a package may import, its own
// subfolders apart. It is the picture in ARCHITECTURE.md, held.
var rules = map[string][]string{
	"reason":            {},
	"hwdetect":          {},
	"hwdetect/modalias": {},
	"hwdetect/pciids":   {"internal/printable"},
	"hwdetect/kmsg":     {},
	"hwdetect/sysfs":    {"hwdetect", "hwdetect/modalias"},
	"hwdetect/kmod":     {"hwdetect", "hwdetect/modalias"},
	"hwdetect/udev":     {"hwdetect"},
	"hwdetect/firmware": {"reason", "hwdetect"},
	"plan":              {"reason", "hwdetect", "hwdetect/modalias"},
	"dnfbridge":         {"reason"},
	"api":               {},
	"daemon":            {"reason", "hwdetect", "hwdetect/firmware", "plan", "dnfbridge", "daemon/config", "daemon/jobs", "daemon/ledger", "daemon/phase"},
	"daemon/bus":        {"daemon", "api", "hwdetect", "hwdetect/firmware", "plan"},
	"daemon/config":     {"hwdetect", "hwdetect/modalias", "plan", "daemon/gate"},
	"daemon/gate":       {"reason", "hwdetect/sysfs"},
	"daemon/jobs":       {"reason", "hwdetect", "daemon/ledger"},
	"daemon/journal":    {"reason"},
	"daemon/ledger":     {"reason", "hwdetect"},
	"daemon/load":       {"reason", "hwdetect", "hwdetect/modalias", "hwdetect/firmware", "hwdetect/kmod", "hwdetect/kmsg", "hwdetect/sysfs", "internal/printable"},
	"daemon/outside":    {},
	"daemon/phase":      {"reason", "hwdetect", "hwdetect/firmware", "plan", "daemon/ledger"},
	"daemon/state":      {"daemon", "dnfbridge"},
}

// planMayUse is what pure code needs of the standard library.
var planMayUse = []string{"fmt", "slices", "strings"}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("cannot list the packages: %v", err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "driverd/")
		seen[name] = true
		for _, imported := range p.Imports {
			if imported == "github.com/jochenvg/go-udev" && name != "hwdetect/udev" {
				t.Errorf("%s imports go-udev: only hwdetect/udev may", name)
			}
			ours, isOurs := strings.CutPrefix(imported, "driverd/")
			allowed, ruled := rules[name]
			switch {
			case isOurs && ruled && !slices.Contains(allowed, ours) && !strings.HasPrefix(ours, name+"/internal/"):
				t.Errorf("%s imports %s", name, ours)
			case isOurs && strings.HasPrefix(ours, "lab") && !strings.HasPrefix(name, "lab"):
				t.Errorf("%s imports the lab", name)
			case !isOurs && name == "plan" && !slices.Contains(planMayUse, imported):
				t.Errorf("plan imports %s", imported)
			}
		}
	}
	for name := range rules {
		if !seen[name] {
			t.Errorf("there is a rule for %s, but no such package", name)
		}
	}
}
