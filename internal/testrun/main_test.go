// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryTestIsInOnePart holds the table against the source.
func TestEveryTestIsInOnePart(t *testing.T) {
	t.Chdir("../..")
	tests, err := labTests()
	if err != nil {
		t.Fatal(err)
	}
	all, err := complete(parts(time.Minute), tests)
	if err != nil {
		t.Fatal(err)
	}
	var ran, known int
	for _, p := range all {
		ran += len(p.tests)
		if p.takes <= 0 || p.pkg != "" && len(p.tests) == 0 {
			t.Errorf("part %q has no tests, or nobody knows how long it takes", p.name())
		}
	}
	for _, names := range tests {
		known += len(names)
	}
	if ran != known || known < 50 {
		t.Errorf("%d tests are in parts, of %d", ran, known)
	}
}

func TestPartsMustFitTheTests(t *testing.T) {
	one := part{tier: everyday, pkg: "a", tests: []string{"TestOne"}, takes: 1}
	others := part{tier: rest, pkg: "a", takes: 1}
	for _, test := range []struct {
		name  string
		parts []part
		tests []string
		want  []string // of the last part
		says  string
	}{
		{"the others", []part{one, others}, []string{"TestOne", "TestTwo"}, []string{"TestTwo"}, ""},
		{"in none", []part{one}, []string{"TestOne", "TestTwo"}, nil, "cannot run a TestTwo: it is in 0 parts"},
		{"in two", []part{one, one}, []string{"TestOne"}, nil, "cannot run a TestOne: it is in 2 parts"},
		{"not there", []part{one, others}, []string{"TestTwo"}, nil, "names it, and there is no such test"},
	} {
		got, err := complete(test.parts, map[string][]string{"a": test.tests})
		if test.says != "" {
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || !slices.Equal(got[len(got)-1].tests, test.want) {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
}

func TestKindsOfGuestAreChosen(t *testing.T) {
	all := []part{{tier: everyday}, {tier: rest, kind: "machines"}, {tier: manyGuests, kind: "xen"}, {tier: manyGuests, kind: "containers"}}
	for _, test := range []struct {
		tiers, kinds, want []string
		fails              bool
	}{
		{[]string{"guests"}, nil, []string{"machines", "xen", "containers"}, false},
		{[]string{"guests"}, []string{"machines"}, []string{"machines"}, false},
		{[]string{"rest"}, []string{"xen"}, []string{"machines"}, false},
		{[]string{"guests"}, []string{"containers"}, []string{"containers"}, false},
		{[]string{"test"}, []string{"xen"}, []string{""}, false},
		{[]string{"guests"}, []string{"xen", "bhyve"}, nil, true},
	} {
		chosen, others, err := choose(all, test.tiers, test.kinds, nil)
		var got []string
		for _, p := range chosen {
			got = append(got, p.kind)
		}
		if (err != nil) != test.fails || !slices.Equal(got, test.want) || err == nil && len(chosen)+len(others) != len(all) {
			t.Errorf("%v, %v: %v and %d others: %v", test.tiers, test.kinds, got, len(others), err)
		}
	}
}

func TestResultsAreCounted(t *testing.T) {
	for _, test := range []struct {
		name           string
		in             string
		passed, failed int
		told           bool
	}{
		{"subtests count", `{"Action":"pass","Package":"p","Test":"TestA/b","Elapsed":1}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":1}
{"Action":"pass","Package":"p","Elapsed":1}`, 2, 0, false},
		{"a package's failure is that of its test", `{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, 0, 1, true},
		{"a package that does not build", `{"Action":"fail","Package":"p"}`, 0, 1, true},
		{"what is skipped proves nothing", `{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`, 0, 1, true},
		{"a package without tests", `{"Action":"skip","Package":"p"}`, 0, 0, false},
	} {
		r := newRun()
		_, told, err := r.read(strings.NewReader(test.in + "\n"))
		if err != nil || told != test.told || r.passed != test.passed || r.failed != test.failed {
			t.Errorf("%s: told %t, %d passed, %d failed: %v", test.name, told, r.passed, r.failed, err)
		}
	}
}

// A guest is shown with what has become of its tests.
func TestGuestsAreShown(t *testing.T) {
	t.Chdir("../..")
	r := newRun()
	var out strings.Builder
	r.out = &out
	_, _, err := r.read(strings.NewReader(`{"Action":"pass","Package":"p","Test":"TestXen/pv"}
{"Action":"pass","Package":"p","Test":"TestXen"}
{"Action":"fail","Package":"p","Test":"TestI686"}
`))
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := r.guestTable(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"passed    Xen 4.20, PVH ", "failed    KVM, i686, q35 ", "not run   KVM, aarch64 ", "untried   Xen, HVM "} {
		if !strings.Contains(out.String(), "\n"+want) {
			t.Errorf("%q is not in %s", want, out.String())
		}
	}
}

// A process that dies is its package's failure, and what it said last is the test's that ran.
func TestLastWordsAreShown(t *testing.T) {
	r := newRun()
	var out strings.Builder
	r.out = &out
	_, _, err := r.read(strings.NewReader(`{"Action":"output","Package":"p","Test":"TestA","Output":"SIGABRT: abort\n"}
{"Action":"output","Package":"p/q","Test":"TestB","Output":"under way\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\n"}
{"Action":"fail","Package":"p"}
`))
	if want := "FAIL  p  (0.0 s)\nFAIL\tp\nSIGABRT: abort\n"; err != nil || out.String() != want {
		t.Errorf("%q, %v, want %q", out.String(), err, want)
	}
}

// TestParts runs parts that need no lab.
func TestParts(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"go.mod":      "module driverd\n\ngo 1.26\n",
		"one_test.go": "package one\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) {}\n\nfunc TestBad(t *testing.T) { t.Error(\"bad\") }\n\nfunc TestPanics(t *testing.T) { panic(\"over\") }\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ofThis := func(test string) part { return part{pkg: ".", tests: []string{test}, takes: time.Second} }
	for _, test := range []struct {
		name                    string
		part                    part
		passed, failed, leftOut int
	}{
		{"a test", ofThis("TestGood"), 1, 0, 0},
		{"one that fails", ofThis("TestBad"), 0, 1, 0},
		{"one that panics", ofThis("TestPanics"), 0, 1, 0},
		{"go test", part{command: []string{"go", "test", "-json", "-run", "TestGood|TestBad", "."}}, 1, 1, 0},
		{"a command", part{command: []string{"true"}}, 0, 0, 0},
		{"one that fails", part{command: []string{"false"}}, 0, 1, 0},
		{"one that is not there", part{command: []string{"./nothing", "-json"}}, 0, 1, 0},
		{"too long", part{command: []string{"false"}, takes: time.Hour}, 0, 0, 1},
	} {
		r := newRun()
		r.until = time.Now().Add(time.Minute)
		r.room = room{t.TempDir(), 1} // that of the machine may be this test's own
		if err := r.compile(t.Context(), []part{test.part}); err != nil {
			t.Fatal(err)
		}
		if err := r.all(t.Context(), []part{test.part}); err != nil {
			t.Fatal(err)
		}
		if r.passed != test.passed || r.failed != test.failed || len(r.leftOut) != test.leftOut {
			t.Errorf("%s: %d passed, %d failed, left out %v", test.name, r.passed, r.failed, r.leftOut)
		}
	}
}
