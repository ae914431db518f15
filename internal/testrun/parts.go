// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// tier says which target runs a part.
type tier string

// The tiers: make test runs the first, make test-all the first two, make test-long
// the third, make test-guests the fourth, and what of the others is for a kind of guest.
const (
	everyday   tier = "test"
	rest       tier = "rest"
	long       tier = "long"
	manyGuests tier = "guests"
)

// part is one process that tests something, beside others.
type part struct {
	tier tier

	// Tests of a package that need the lab, all that no other part names if there
	// are none.
	pkg   string
	tests []string
	args  []string // more arguments of the test's program

	// Or a command, whose output is that of go test -json if it is one.
	command []string

	kind   string        // of guest, by which make test-guests chooses
	guests int           // that it has at once, if there are more than one
	takes  time.Duration // about: on two cores, with emulated guests
}

// name is how a part is called.
func (p part) name() string {
	if p.command != nil {
		return strings.Join(p.command, " ")
	}
	return strings.TrimSpace(p.pkg + " " + strings.Join(p.tests, " "))
}

const behaviour = "lab/behaviour"

// parts are all there is, in the order in which they begin: what soon tells of a mistake
// first, the longest beside all others, and last the fault matrix, which has no room for
// others. TestSoak goes on for so long.
func parts(soak time.Duration) []part {
	guest := func(t tier, pkg, test string, takes time.Duration) part {
		return part{tier: t, pkg: pkg, tests: []string{test}, takes: takes * time.Second}
	}
	return []part{
		{tier: everyday, command: []string{"make", "--no-print-directory", "lint"}, takes: 20 * time.Second},
		{tier: everyday, command: []string{"go", "test", "-race", "-timeout=20m", "-count=1", "-json", "./..."}, takes: 2 * time.Minute},
		{tier: everyday, kind: "builds", pkg: "lab", tests: []string{"TestOtherArchitectures"}, takes: time.Minute},
		{tier: everyday, pkg: behaviour, tests: []string{"TestFaults"}, guests: 2, takes: 6 * time.Minute},
		guest(everyday, behaviour, "TestPreinstall", 300),
		{tier: everyday, pkg: "dnfbridge", takes: 3 * time.Minute},
		guest(everyday, "lab", "TestBase", 200),
		guest(everyday, behaviour, "TestBusctl", 160),
		guest(everyday, behaviour, "TestUnplugAndRestart", 160),
		{tier: everyday, kind: "machines", pkg: behaviour, tests: []string{"TestMainJob"}, takes: 40 * time.Second},
		{tier: everyday, kind: "machines", pkg: behaviour, tests: []string{"TestConventionalPCI"}, takes: 90 * time.Second},
		guest(everyday, behaviour, "TestMainJobInCockpit", 150),
		{tier: everyday, kind: "library", pkg: behaviour, tests: []string{"TestKernelOfALibrary"}, takes: time.Minute},
		{tier: everyday, pkg: "packaging", tests: []string{"TestPackages", "TestInstalledSize", "TestPrometheus", "TestPage"}, takes: 30 * time.Second},
		guest(everyday, behaviour, "TestSizeBudget", 1),

		{tier: long, pkg: behaviour, tests: []string{"TestSoak"}, args: []string{"-soak.for=" + soak.String()}, takes: soak + 5*time.Minute},
		guest(long, behaviour, "TestStorm", 600),

		guest(rest, behaviour, "TestPrivilege", 150),
		guest(rest, behaviour, "TestWholeDevice", 100),
		guest(rest, behaviour, "TestWhatKeepsADriverAway", 240),
		guest(rest, behaviour, "TestLifecycle", 300),
		{tier: rest, kind: "machines", pkg: behaviour, tests: []string{"TestMachines"}, takes: 6 * time.Minute},
		guest(rest, behaviour, "TestOneDeviceAfterAnother", 240),
		guest(rest, behaviour, "TestPublishedAnew", 180),
		guest(rest, behaviour, "TestLoadEarly", 180),
		guest(rest, behaviour, "TestPackagesThatSayLittle", 300),
		guest(rest, behaviour, "TestWholeDeviceAtBoot", 120),
		guest(rest, behaviour, "TestKicks", 120),
		guest(rest, behaviour, "TestAtRest", 600),
		guest(rest, behaviour, "TestFlood", 240),
		guest(rest, behaviour, "TestEveryUnit", 500),
		guest(rest, behaviour, "TestFirmware", 180),
		guest(rest, behaviour, "TestCockpit", 300),
		guest(rest, behaviour, "TestFromUnsplitToSplit", 240),
		guest(rest, behaviour, "TestGoldenImage", 180),
		guest(rest, behaviour, "TestVendor", 150),
		guest(rest, behaviour, "TestVendorThatIsNotTrusted", 90),
		guest(rest, behaviour, "TestVendorBySymbols", 120),
		guest(rest, "lab", "TestGroups", 300),
		guest(rest, "lab", "TestBaseAlone", 240),
		guest(rest, behaviour, "TestPreinstallLater", 400),
		{tier: rest, pkg: behaviour, tests: []string{"TestResume"}, guests: 2, takes: 4 * time.Minute},
		{tier: rest, pkg: "lab", takes: 6 * time.Minute}, // the lab itself, and the split of other kernels
		{tier: rest, pkg: "packaging", takes: 2 * time.Minute},
		guest(rest, behaviour, "TestFleet", 500),
		guest(rest, behaviour, "TestSELinux", 200),
		guest(rest, behaviour, "TestEightDevicesAtOnce", 80),
		guest(rest, behaviour, "TestKernelOfTheHost", 80),
		guest(rest, behaviour, "TestNoModule", 80),
		{tier: rest, pkg: behaviour, tests: []string{"TestFaultMatrix"}, guests: 3, takes: 18 * time.Minute},

		{tier: manyGuests, kind: "recordings", command: []string{"go", "test", "-race", "-count=1", "-json", "./internal/service"}, takes: time.Minute},
		{tier: manyGuests, kind: "containers", pkg: behaviour, tests: []string{"TestContainerEngines"}, takes: 10 * time.Minute},
		{tier: manyGuests, kind: "arm64", pkg: behaviour, tests: []string{"TestARM64"}, takes: 6 * time.Minute},
		{tier: manyGuests, kind: "i686", pkg: behaviour, tests: []string{"TestI686"}, takes: 5 * time.Minute},
		{tier: manyGuests, kind: "xen", pkg: behaviour, tests: []string{"TestXen"}, takes: 8 * time.Minute},
	}
}

// choose divides the parts into those that are asked for and the others: those of the
// tiers, for make test-guests those for these kinds of guest, or for all kinds, and if only names
// tests, the parts with those. It is an error if no part has such a kind of guest.
func choose(all []part, tiers, kinds, only []string) (chosen, others []part, err error) {
	for _, kind := range kinds {
		if !slices.ContainsFunc(all, func(p part) bool { return p.kind == kind }) {
			return nil, nil, fmt.Errorf("there are no tests for guests of the kind %q", kind)
		}
	}
	asked := func(p part) bool {
		ofTier := p.tier != manyGuests && slices.Contains(tiers, string(p.tier))
		ofKind := p.kind != "" && slices.Contains(tiers, string(manyGuests)) && (len(kinds) == 0 || slices.Contains(kinds, p.kind))
		return (ofTier || ofKind) &&
			(len(only) == 0 || slices.ContainsFunc(only, func(test string) bool { return slices.Contains(p.tests, test) }))
	}
	for _, p := range all {
		if asked(p) {
			chosen = append(chosen, p)
		} else {
			others = append(others, p)
		}
	}
	return chosen, others, nil
}

// testFunction matches the beginning of a test.
var testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// labTests are the tests that need the lab, by their packages.
func labTests() (map[string][]string, error) {
	all := make(map[string][]string)
	err := filepath.WalkDir(".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		head, _, _ := strings.Cut(string(text), "\npackage ")
		if !strings.Contains(head, "//go:build lab") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		for _, m := range testFunction.FindAllStringSubmatch(string(text), -1) {
			all[pkg] = append(all[pkg], m[1])
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot find the tests: %w", err)
	}
	return all, nil
}

// complete gives a part that names no tests those that no other names. It is an error
// if a part names a test that is not there, or a test is in no part or in two.
func complete(all []part, tests map[string][]string) ([]part, error) {
	times := make(map[string]int) // that a test is named, by package and test
	name := func(p part) {
		for _, test := range p.tests {
			times[p.pkg+" "+test]++
		}
	}
	for _, p := range all {
		name(p)
	}
	all = slices.Clone(all)
	for i, p := range all {
		if p.pkg != "" && p.tests == nil {
			all[i].tests = slices.DeleteFunc(slices.Clone(tests[p.pkg]), func(test string) bool { return times[p.pkg+" "+test] > 0 })
			name(all[i])
		}
	}
	for pkg, names := range tests {
		for _, test := range names {
			test = pkg + " " + test
			if times[test] != 1 {
				return nil, fmt.Errorf("cannot run %s: it is in %d parts of internal/testrun/parts.go, want one", test, times[test])
			}
			delete(times, test)
		}
	}
	for test := range times {
		return nil, fmt.Errorf("cannot run %s: internal/testrun/parts.go names it, and there is no such test", test)
	}
	return all, nil
}
