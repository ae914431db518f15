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
// the third.
const (
	everyday tier = "test"
	rest     tier = "rest"
	long     tier = "long"
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

	takes time.Duration // about: on two cores, with emulated guests
}

// name is how a part is called.
func (p part) name() string {
	if p.command != nil {
		return strings.Join(p.command, " ")
	}
	return strings.TrimSpace(p.pkg + " " + strings.Join(p.tests, " "))
}

const behaviour = "lab/behaviour"

// parts are all there is, of each tier the longest first. TestSoak goes on for so long.
func parts(soak time.Duration) []part {
	all := []part{
		{tier: everyday, command: []string{"make", "--no-print-directory", "lint"}, takes: 20 * time.Second},
		{tier: everyday, command: []string{"go", "test", "-race", "-count=1", "-json", "./..."}, takes: 90 * time.Second},
		{tier: everyday, pkg: "dnfbridge", takes: 3 * time.Minute},
		{tier: rest, pkg: "packaging", takes: 2 * time.Minute},
		{tier: everyday, pkg: "packaging", tests: []string{"TestPackages", "TestInstalledSize"}, takes: 20 * time.Second},
		{tier: rest, pkg: "lab", takes: 3 * time.Minute}, // the split of other kernels, and the lab itself
		{tier: long, pkg: behaviour, tests: []string{"TestSoak"}, args: []string{"-soak.for=" + soak.String()}, takes: soak + 5*time.Minute},
	}
	for _, guests := range []struct {
		tier tier
		pkg  string
		test string
		s    time.Duration
	}{
		{everyday, "lab", "TestBase", 80},
		{everyday, behaviour, "TestPreinstall", 120},
		{everyday, behaviour, "TestFaults", 150},
		{everyday, behaviour, "TestUnplugAndRestart", 120},
		{everyday, behaviour, "TestBusctl", 120},
		{everyday, behaviour, "TestMainJob", 20},
		{everyday, behaviour, "TestSizeBudget", 1},
		{rest, behaviour, "TestFaultMatrix", 1000},
		{rest, "lab", "TestGroups", 200},
		{rest, behaviour, "TestOneDeviceAfterAnother", 200},
		{rest, behaviour, "TestPreinstallLater", 300},
		{rest, behaviour, "TestLifecycle", 240},
		{rest, behaviour, "TestFromUnsplitToSplit", 200},
		{rest, behaviour, "TestWhatKeepsADriverAway", 200},
		{rest, behaviour, "TestGoldenImage", 150},
		{rest, behaviour, "TestFirmware", 120},
		{rest, behaviour, "TestLoadEarly", 120},
		{rest, behaviour, "TestKicks", 100},
		{rest, behaviour, "TestResume", 120},
		{rest, behaviour, "TestEightDevicesAtOnce", 60},
		{rest, behaviour, "TestKernelOfTheHost", 60},
		{rest, behaviour, "TestNoModule", 60},
		{long, behaviour, "TestStorm", 600},
	} {
		all = append(all, part{tier: guests.tier, pkg: guests.pkg, tests: []string{guests.test}, takes: guests.s * time.Second})
	}
	return all
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
