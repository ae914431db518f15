// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// card is an igb card as sysfs shows it.
var card = hwdetect.Device{
	Slot: hwdetect.Slot{Bus: 1}, Vendor: 0x8086, Product: 0x10c9, Class: 0x020000, Modalias: igb,
}

var (
	installable = plan.Facts{Kernel: kernel{}, Catalog: catalog()}
	loadable    = plan.Facts{Kernel: kernel{installed: map[string][]string{igb: {"igb"}}}, Catalog: catalog()}
	indexed     = plan.Facts{Kernel: kernel{shipped: map[string][]hwdetect.Module{igb: {{Name: "igb", Group: "sriov"}}}}, Catalog: catalog()}
	builtIn     = plan.Facts{Kernel: kernel{builtIn: map[string][]string{igb: {"igb"}}}, Catalog: catalog()}
)

func from(line int) plan.Origin { return plan.Origin{File: "/etc/driverd/driverd.toml", Line: line} }

func TestConditions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rule  plan.Rule
		facts plan.Facts
		want  bool // does it match the card
	}{
		"none":                      {plan.Rule{}, installable, true},
		"slot":                      {plan.Rule{Slots: []string{"0000:02:00.0", "0000:01:00.0"}}, installable, true},
		"another slot":              {plan.Rule{Slots: []string{"0000:01:00.1"}}, installable, false},
		"product":                   {plan.Rule{IDs: []string{"8086:10c9"}}, installable, true},
		"another product":           {plan.Rule{IDs: []string{"8086:10ca"}}, installable, false},
		"vendor":                    {plan.Rule{IDs: []string{"10de:*", "8086:*"}}, installable, true},
		"another vendor":            {plan.Rule{IDs: []string{"10de:*"}}, installable, false},
		"base class":                {plan.Rule{Classes: []string{"03", "02"}}, installable, true},
		"class":                     {plan.Rule{Classes: []string{"0200"}}, installable, true},
		"interface":                 {plan.Rule{Classes: []string{"020001"}}, installable, false},
		"another class":             {plan.Rule{Classes: []string{"20"}}, installable, false},
		"group":                     {plan.Rule{Groups: []string{"sriov"}}, installable, true},
		"group of what is there":    {plan.Rule{Groups: []string{"sriov"}}, loadable, true},
		"another group":             {plan.Rule{Groups: []string{"gpu", "base"}}, installable, false},
		"module":                    {plan.Rule{Modules: []string{"igb"}}, loadable, true},
		"module, built in":          {plan.Rule{Modules: []string{"i?b"}}, builtIn, true},
		"module, of the index":      {plan.Rule{Modules: []string{"igb"}}, indexed, true},
		"modules":                   {plan.Rule{Modules: []string{"x", "ig*"}}, loadable, true},
		"another module":            {plan.Rule{Modules: []string{"igbvf", "ig"}}, loadable, false},
		"module that is not known":  {plan.Rule{Modules: []string{"*"}}, installable, false},
		"all of several conditions": {plan.Rule{IDs: []string{"8086:*"}, Classes: []string{"02"}, Groups: []string{"sriov"}}, installable, true},
		"one of several conditions": {plan.Rule{IDs: []string{"8086:*"}, Classes: []string{"03"}, Groups: []string{"sriov"}}, installable, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			free := plan.Decide(card, test.facts)
			test.rule.Origin = from(7)
			test.facts.Policy.Rules = []plan.Rule{test.rule}
			got := plan.Explain(card, test.facts)
			if !test.want {
				if diff := cmp.Diff(free, got.Want); diff != "" || got.Rule != nil {
					t.Errorf("it matches: %+v %s", got.Rule, diff)
				}
				return
			}
			if got.Rule == nil || got.Rule.Origin != from(7) || !strings.Contains(got.Want.Message, "/etc/driverd/driverd.toml:7 ") {
				t.Errorf("rule %+v, message %q", got.Rule, got.Want.Message)
			}
			got.Want.Message = ""
			want := plan.Want{
				State: plan.Blocked, Reason: reason.Policy,
				Modules: free.Modules, Packages: free.Packages, Group: free.Group,
			}
			if diff := cmp.Diff(want, got.Want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A product that somebody asks about has neither slot nor class, whatever the
// zeros in their place say.
func TestUnknownMeetsNoCondition(t *testing.T) {
	t.Parallel()
	subject, err := plan.ParseSubject("8086:10c9")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []plan.Rule{{Slots: []string{"0000:00:00.0"}}, {Classes: []string{"00"}}} {
		facts := installable
		facts.Policy.Rules = []plan.Rule{rule}
		if got := plan.Explain(subject.Device, facts); got.Want.Action != plan.Install || got.Rule != nil {
			t.Errorf("%+v: %+v", rule, got)
		}
	}
}

// Of several packages that claim a device, a rule is about the one that would be
// installed.
func TestRuleForOneOfSeveralPackages(t *testing.T) {
	t.Parallel()
	c := plan.NewCatalog([]plan.Package{
		{NEVRA: "hardware", Repo: "lab", Provides: []string{uname("kernel-modules"), "modalias(" + igb + ")"}},
		{NEVRA: "gpu", Repo: "lab", Provides: []string{uname("kernel-modules-gpu"), "modalias(" + igb + ")"}},
		{NEVRA: "sriov", Repo: "lab", Provides: []string{uname("kernel-modules-sriov")}},
	})
	for group, want := range map[string]reason.Reason{"hardware": reason.None, "gpu": reason.Policy, "sriov": reason.None} {
		policy := plan.Policy{Rules: []plan.Rule{{Groups: []string{group}}}}
		if got := plan.Decide(card, plan.Facts{Kernel: kernel{}, Catalog: c, Policy: policy}); got.Reason != want {
			t.Errorf("%s: %+v", group, got)
		}
	}
}

// The policy says what may be done, and nothing about what is.
func TestPolicyLeavesAlone(t *testing.T) {
	t.Parallel()
	deny := plan.Policy{Rules: []plan.Rule{{}}, Holds: []plan.Hold{{Package: "*"}}}
	for name, d := range map[string]hwdetect.Device{
		"bound":       {Modalias: igb, Driver: "igb"},
		"reserved":    {Modalias: igb, DriverOverride: "vfio-pci"},
		"unsupported": {Modalias: edu},
	} {
		free := plan.Decide(d, installable)
		policed := installable
		policed.Policy, policed.Observe = deny, true
		if diff := cmp.Diff(free, plan.Decide(d, policed)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		"kernel-modules-sriov": true, "kernel-modules-*": true, "*": true,
		"kernel-modules": false, "sriov": false, sriov: false, "igb": false,
	} {
		policy := plan.Policy{Holds: []plan.Hold{{Package: pattern, Origin: from(3)}}}
		facts := installable
		facts.Policy = policy
		got := plan.Decide(card, facts)
		if held := got.Reason == reason.Policy; held != want {
			t.Errorf("%s: %+v", pattern, got)
		}
		if want && (got.Action != plan.Nothing || !slices.Equal(got.Packages, []string{sriov}) || !strings.Contains(got.Message, from(3).String())) {
			t.Errorf("%s: %+v", pattern, got)
		}
		if left := policy.NotHeld([]string{sriov}); (len(left) == 0) != want {
			t.Errorf("%s: %v may be installed", pattern, left)
		}
		// What is there already may be loaded.
		facts = loadable
		facts.Policy = policy
		if got := plan.Decide(card, facts); got.Action != plan.Load {
			t.Errorf("%s: %+v", pattern, got)
		}
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		facts plan.Facts
		want  plan.Want
	}{
		"install": {installable, plan.Want{
			State: plan.Blocked, Reason: reason.ObserveOnly, Packages: []string{sriov}, Group: "sriov",
			Message: "driverd only observes, and would otherwise install " + sriov + " and load the driver; " +
				"to do this once: driverd install 0000:01:00.0; to do it always: driverd mode auto",
		}},
		"load": {loadable, plan.Want{
			State: plan.Blocked, Reason: reason.ObserveOnly, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov",
			Message: "driverd only observes, and would otherwise load igb; " +
				"to do this once: driverd install 0000:01:00.0; to do it always: driverd mode auto",
		}},
		// The kernel does that, and asks nobody.
		"await": {builtIn, plan.Want{Action: plan.Await, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"}},
		// To say what it would do, it has to know.
		"learn": {plan.Facts{Kernel: kernel{}}, plan.Want{Action: plan.Learn, State: plan.Pending}},
	} {
		test.facts.Observe = true
		if diff := cmp.Diff(test.want, plan.Decide(card, test.facts)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	facts := installable
	facts.Observe = true
	if got := plan.Decide(hwdetect.Device{Modalias: igb}, facts); strings.Contains(got.Message, "driverd install") {
		t.Errorf("there is no slot to type: %s", got.Message)
	}
	// A mode that nothing would help to change is not offered.
	facts.PolicyProblem = errors.New("unknown key")
	if got := plan.Decide(card, facts); got.Reason != reason.ObserveOnly || strings.Contains(got.Message, "driverd install") ||
		!strings.Contains(got.Message, "check-config") || !slices.Equal(got.Packages, []string{sriov}) {
		t.Errorf("%+v", got)
	}
	// A rule says more than the mode, and holds for an explicit request too.
	facts.Policy.Rules = []plan.Rule{{}}
	if got := plan.Decide(card, facts); got.Reason != reason.Policy {
		t.Errorf("%+v", got)
	}
}

// Whatever the rules are, the last one that matches decides, and all before it
// might as well not be there.
func TestTheLastRuleDecides(t *testing.T) {
	t.Parallel()
	some := func(values ...string) *rapid.Generator[[]string] {
		return rapid.SliceOfN(rapid.SampledFrom(values), 0, 2)
	}
	rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) plan.Rule {
		return plan.Rule{
			Allow:   rapid.Bool().Draw(t, "allow"),
			Slots:   some("0000:01:00.0", "0000:02:00.0").Draw(t, "slots"),
			IDs:     some("8086:*", "10de:*", "8086:10c9").Draw(t, "ids"),
			Classes: some("02", "0200", "03").Draw(t, "classes"),
			Groups:  some("sriov", "gpu").Draw(t, "groups"),
			Modules: some("igb", "*", "nouveau").Draw(t, "modules"),
		}
	}), 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SampledFrom([]plan.Facts{installable, indexed, loadable, builtIn}).Draw(t, "facts")
		free := plan.Decide(card, facts)
		all := rules.Draw(t, "rules")
		last := -1
		for i := range all {
			all[i].Origin = from(i)
			alone := facts
			alone.Policy.Rules = all[i : i+1]
			if plan.Explain(card, alone).Rule != nil {
				last = i
			}
		}
		facts.Policy.Rules = all
		got := plan.Explain(card, facts)
		switch {
		case last < 0:
			if got.Rule != nil || !cmp.Equal(free, got.Want) {
				t.Fatalf("no rule matches, but %+v decides %+v", got.Rule, got.Want)
			}
		case got.Rule == nil || got.Rule.Origin != from(last):
			t.Fatalf("rule %d is the last to match, but %+v decides", last, got.Rule)
		case all[last].Allow != cmp.Equal(free, got.Want), all[last].Allow == (got.Want.Reason == reason.Policy):
			t.Fatalf("allow %v decides %+v", all[last].Allow, got.Want)
		}
	})
}

// What the load step can tell of a device is less than what the service can: no rule
// that it cannot judge denies.
func TestDeniesDevice(t *testing.T) {
	t.Parallel()
	deny, allow := plan.Rule{IDs: []string{"8086:10c9"}}, plan.Rule{Allow: true, IDs: []string{"8086:*"}}
	for name, test := range map[string]struct {
		rules  []plan.Rule
		denied bool
	}{
		"no rule":                          {nil, false},
		"by its id":                        {[]plan.Rule{deny}, true},
		"by its slot":                      {[]plan.Rule{{Slots: []string{"0000:01:00.0"}}}, true},
		"by its module":                    {[]plan.Rule{{Modules: []string{"ig*"}}}, true},
		"everything":                       {[]plan.Rule{{}}, true},
		"another one":                      {[]plan.Rule{{IDs: []string{"8086:10ca"}}}, false},
		"by its group, which nobody knows": {[]plan.Rule{{Groups: []string{"sriov"}}}, false},
		"denied, then allowed":             {[]plan.Rule{deny, allow}, false},
		"allowed, then denied":             {[]plan.Rule{allow, deny}, true},
		"denied, its group allowed":        {[]plan.Rule{deny, {Allow: true, Groups: []string{"sriov"}}}, false},
	} {
		if rule := (plan.Policy{Rules: test.rules}).DeniesDevice(card, []string{"igb"}); (rule != nil) != test.denied {
			t.Errorf("%s: %+v", name, rule)
		}
	}
}
