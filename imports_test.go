// SPDX-License-Identifier: Apache-2.0

package driverd_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// mayImport says for each package of this module which others of it it may
// import, its own internal ones apart. It is the picture in ARCHITECTURE.md, held.
// A package that is not listed is an error, and so is an import that is not
// listed. Tests may import what they need.
var mayImport = map[string][]string{
	// What is pure, or reads the guest.
	"reason":            {},
	"kernelbuild":       {},
	"hwdetect":          {},
	"hwdetect/modalias": {},
	"hwdetect/pciids":   {"internal/printable"},
	"hwdetect/kmsg":     {},
	"hwdetect/sysfs":    {"hwdetect", "hwdetect/modalias"},
	"hwdetect/kmod":     {"hwdetect", "hwdetect/modalias", "kernelbuild", "internal/tree"},
	"hwdetect/modprobe": {"hwdetect/modalias", "kernelbuild", "internal/tree"},
	"hwdetect/udev":     {"hwdetect"},
	"hwdetect/firmware": {"reason", "hwdetect", "internal/tree"},

	// What decides, and what acts.
	"plan":           {"reason", "hwdetect", "hwdetect/modalias", "kernelbuild"},
	"dnfbridge":      {"kernelbuild", "reason", "internal/redact"},
	"daemon":         {"reason", "hwdetect", "hwdetect/firmware", "kernelbuild", "plan", "dnfbridge", "daemon/config", "daemon/jobs", "daemon/ledger", "daemon/phase"},
	"daemon/bus":     {"daemon", "api", "hwdetect", "hwdetect/firmware", "plan"},
	"daemon/config":  {"hwdetect", "hwdetect/modalias", "kernelbuild", "plan", "daemon/gate", "internal/tree"},
	"daemon/gate":    {"reason", "hwdetect/sysfs"},
	"daemon/jobs":    {"reason", "hwdetect", "daemon/ledger"},
	"daemon/install": {"reason", "dnfbridge", "daemon/config", "daemon/units", "hwdetect/firmware", "internal/outcome", "internal/printable", "kernelbuild", "plan"},
	"daemon/journal": {"reason"},
	"daemon/ledger":  {"reason", "hwdetect"},
	"daemon/load":    {"reason", "daemon/outside", "daemon/units", "hwdetect", "hwdetect/modalias", "hwdetect/firmware", "hwdetect/kmod", "hwdetect/kmsg", "hwdetect/modprobe", "hwdetect/sysfs", "kernelbuild", "plan", "internal/outcome", "internal/printable", "internal/redact"},
	"daemon/outside": {"internal/tree"},
	"daemon/phase":   {"reason", "hwdetect", "hwdetect/firmware", "plan", "daemon/ledger"},
	"daemon/units":   {"reason"},
	"daemon/state":   {"daemon", "dnfbridge", "internal/tree"},

	// What puts them together.
	"api":                {},
	"internal/printable": {},
	"internal/redact":    {},
	"internal/outcome":   {},
	"internal/tree":      {},
	"internal/guest":     {"api", "daemon", "daemon/bus", "daemon/config", "daemon/gate", "daemon/state", "hwdetect", "hwdetect/firmware", "hwdetect/kmod", "hwdetect/kmsg", "hwdetect/modprobe", "hwdetect/pciids", "hwdetect/sysfs", "plan", "internal/tree"},
	"internal/image":     {"daemon", "daemon/config", "dnfbridge", "hwdetect/firmware", "hwdetect/kmod", "plan"},
	"internal/report":    {"api", "daemon", "daemon/config", "hwdetect", "hwdetect/kmod", "hwdetect/modprobe", "hwdetect/sysfs", "internal/guest", "internal/printable", "plan", "reason", "internal/tree", "internal/redact"},
	"internal/service":   {"api", "daemon", "daemon/bus", "daemon/config", "daemon/install", "daemon/load", "daemon/outside", "daemon/state", "daemon/units", "dnfbridge", "hwdetect/firmware", "hwdetect/kmod", "hwdetect/modprobe", "hwdetect/sysfs", "hwdetect/udev", "internal/guest", "internal/printable", "plan", "reason"},
	"cmd/driverd":        {"api", "daemon", "daemon/config", "daemon/install", "daemon/journal", "daemon/load", "dnfbridge", "hwdetect", "hwdetect/kmsg", "internal/guest", "internal/image", "internal/printable", "internal/report", "internal/service", "internal/tree", "kernelbuild", "plan", "reason"},

	// The split of a kernel.
	"kernelsplit":              {"kernelbuild"},
	"cmd/driverd-kernel-split": {"kernelsplit"},

	// What no guest runs: tools of this module, helpers of tests, the lab.
	".":                                   {},
	"packaging":                           {},
	"internal/mangen":                     {},
	"internal/testrun":                    {},
	"internal/testbus":                    {},
	"internal/testtree":                   {},
	"internal/testbed":                    {},
	"internal/kerneltest":                 {"kernelsplit"},
	"internal/filtermods":                 {},
	"hwdetect/modalias/internal/cfnmatch": {},
	"lab":                                 {"api", "hwdetect", "kernelsplit", "lab/repo", "lab/rpmrepo", "lab/stage"},
	"lab/behaviour":                       {},
	"lab/bench":                           {"api", "hwdetect", "lab"},
	"lab/bench/libkmod":                   {},
	"lab/cmd/bench":                       {"lab", "lab/bench"},
	"lab/cmd/demo":                        {"api", "hwdetect", "lab"},
	"lab/cmd/index":                       {"kernelsplit", "lab"},
	"lab/cmd/lab":                         {"lab"},
	"lab/cmd/split-report":                {"kernelsplit", "lab"},
	"lab/dnfroot":                         {},
	"lab/repo":                            {"kernelsplit", "lab/rpmrepo"},
	"lab/rpmrepo":                         {},
	"lab/stage":                           {},
}

// pure says which packages of the standard library the pure packages may import.
var pure = map[string][]string{
	"reason":             {"errors"},
	"kernelbuild":        {"path", "slices", "strings"},
	"hwdetect":           {"cmp", "fmt", "io/fs", "strconv", "strings"},
	"hwdetect/modalias":  {"cmp", "fmt", "math", "slices", "sort", "strconv", "strings"},
	"plan":               {"cmp", "fmt", "slices", "strings"},
	"internal/printable": {"strings", "unicode", "unicode/utf8"},
	"internal/redact":    {"net", "net/netip", "regexp", "strings"},
}

// cgo lists the packages that may be made of C.
var cgo = []string{"hwdetect/modalias/internal/cfnmatch", "internal/testbed", "lab/bench/libkmod"}

// foreign says which packages of this module may import packages of others, by
// the beginning of their path. Everything else is denied.
var foreign = map[string][]string{
	"github.com/coreos/go-systemd/v22/": {"daemon/journal", "daemon/units", "internal/service"},
	"github.com/godbus/dbus/v5":         {"api", "daemon/bus", "daemon/install", "daemon/units", "dnfbridge", "internal/testbus", "lab/dnfroot"},
	"github.com/google/renameio/v2":     {"cmd/driverd", "daemon/state", "internal/image"},
	"github.com/jochenvg/go-udev":       {"hwdetect/udev"}, // and with it cgo and libudev
	"github.com/pelletier/go-toml/v2":   {"daemon/config"},
	"github.com/rs/zerolog":             {"cmd/driverd", "daemon", "daemon/bus", "daemon/install", "daemon/journal", "dnfbridge", "hwdetect/udev", "internal/service"},
	"github.com/spf13/cobra":            {"cmd/driverd"},
	"golang.org/x/sys/unix":             {"cmd/driverd", "daemon/install", "daemon/load", "daemon/outside", "dnfbridge", "hwdetect/kmod", "hwdetect/kmsg", "hwdetect/sysfs", "internal/guest", "internal/service", "lab", "lab/dnfroot", "lab/stage"},
}

func TestImports(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, p := range goList(t, "-tags=lab,long", "./...") {
		name := "."
		if ours, below := strings.CutPrefix(p.ImportPath, module); below {
			name = ours
		}
		seen[name] = true
		allowed, listed := mayImport[name]
		if !listed {
			t.Errorf("%s is not listed: say in mayImport what it may import", name)
			continue
		}
		for _, imported := range p.Imports {
			ours, isOurs := strings.CutPrefix(imported, module)
			host, _, _ := strings.Cut(imported, "/")
			switch {
			case isOurs:
				if !slices.Contains(allowed, ours) && !strings.HasPrefix(ours, name+"/internal/") {
					t.Errorf("%s imports %s", name, ours)
				}
			case strings.Contains(host, "."):
				if !mayImportForeign(name, imported) {
					t.Errorf("%s imports %s", name, imported)
				}
			case imported == "C" && !slices.Contains(cgo, name):
				t.Errorf("%s is made of C", name)
			case pure[name] != nil && !slices.Contains(pure[name], imported):
				t.Errorf("%s imports %s: it is to be pure", name, imported)
			}
		}
	}
	for name, imports := range mayImport {
		for _, each := range append(imports, name) {
			if !seen[each] {
				t.Errorf("the rule of %s names %s, and there is no such package", name, each)
			}
		}
	}
	for _, name := range slices.Concat(cgo, slices.Collect(maps.Keys(pure)), slices.Concat(slices.Collect(maps.Values(foreign))...)) {
		if !seen[name] {
			t.Errorf("there is a rule for %s, and no such package", name)
		}
	}
}

func mayImportForeign(name, imported string) bool {
	for beginning, importers := range foreign {
		if strings.HasPrefix(imported, beginning) {
			return slices.Contains(importers, name)
		}
	}
	return false
}

// The packages that the others stand on do not see what stands on them, whatever
// mayImport is made to say.
func TestNoWayBack(t *testing.T) {
	t.Parallel()
	for _, rule := range []struct{ below, above []string }{
		// They share words through reason and kernelbuild alone.
		{[]string{"hwdetect"}, []string{"dnfbridge", "plan", "daemon", "api"}},
		{[]string{"dnfbridge"}, []string{"hwdetect", "plan", "daemon", "api"}},
		{[]string{"plan"}, []string{"dnfbridge", "daemon", "api"}},
		{[]string{"daemon", "api"}, []string{"internal/guest", "internal/image", "internal/report", "internal/service", "cmd"}},
		// The two halves of driverd meet in the metadata of packages only.
		{[]string{"hwdetect", "dnfbridge", "plan", "daemon", "api", "internal/guest", "internal/service", "cmd/driverd"}, []string{"kernelsplit"}},
		{[]string{"kernelsplit"}, []string{"hwdetect", "dnfbridge", "plan", "daemon", "api"}},
		// Nothing that a guest runs knows of the lab, or of helpers of tests.
		{[]string{"reason", "kernelbuild", "hwdetect", "dnfbridge", "plan", "daemon", "api", "kernelsplit", "internal/guest", "internal/image", "internal/outcome", "internal/printable", "internal/redact", "internal/report", "internal/service", "internal/tree", "cmd"}, []string{"lab", "internal/testbed", "internal/testbus", "internal/testtree", "internal/kerneltest"}},
	} {
		for name, imports := range mayImport {
			for _, imported := range imports {
				if inAny(name, rule.below) && inAny(imported, rule.above) {
					t.Errorf("mayImport lets %s import %s", name, imported)
				}
			}
		}
	}
}

// inAny says whether a package is one of the folders, or below one.
func inAny(name string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") })
}
