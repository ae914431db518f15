// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// hiding is the catalog with packages that DNF's configuration hides.
func hiding(nevras ...string) *plan.Catalog {
	packages := packages()
	for i, p := range packages {
		packages[i].Excluded = slices.Contains(nevras, p.NEVRA)
	}
	return plan.NewCatalog(packages)
}

// What cannot be had is said in words that fit, with the way out.
func TestWordsForWhatCannotBeHad(t *testing.T) {
	t.Parallel()
	installed := []plan.Package{{NEVRA: core, Installed: true, Provides: []string{uname("kernel-modules-core")}}}
	for name, test := range map[string]struct {
		facts plan.Facts
		says  []string
	}{
		"excluded":       {plan.Facts{Catalog: hiding(sriov)}, []string{"excludes " + sriov, "excludepkgs=", "/etc/dnf/dnf.conf", "repository lab"}},
		"all excluded":   {plan.Facts{Catalog: hiding(core, sriov, hardware)}, []string{"excludes", "excludepkgs="}},
		"gone":           {plan.Facts{Catalog: plan.NewCatalog(installed)}, []string{"enable an archive repository, or reboot into"}},
		"disabled":       {plan.Facts{Catalog: plan.NewCatalog(installed), Disabled: []string{"updates", "archive"}}, []string{"disabled (updates, archive", "dnf5 config-manager setopt", "or reboot into"}},
		"of another way": {plan.Facts{Catalog: plan.NewCatalog([]plan.Package{{NEVRA: core, Installed: true}})}, []string{"for which kernel they are made", "-uname-r"}},
		"foreign":        {plan.Facts{Catalog: plan.NewCatalog(nil)}, []string{"belongs to no package"}},
	} {
		test.facts.Kernel, test.facts.Release = kernel{}, release
		got := plan.Decide(hwdetect.Device{Modalias: igb}, test.facts)
		for _, words := range test.says {
			if !strings.Contains(got.Message, words) {
				t.Errorf("%s: %q does not say %q", name, got.Message, words)
			}
		}
		if foreign := test.facts.Foreign(); (foreign != nil) != (name == "foreign") {
			t.Errorf("%s: the service is inactive: %v", name, foreign)
		}
	}
}

// Nothing that DNF's configuration hides is to come along with a transaction.
func TestExcludedIsNotAllowed(t *testing.T) {
	t.Parallel()
	c := hiding(sriov)
	if diff := cmp.Diff([]string{core, hardware}, c.NEVRAs()); diff != "" {
		t.Error(diff)
	}
	s, err := plan.ParseSelector("sriov")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := s.Select(nil, plan.Facts{Catalog: c, Kernel: kernel{}, Release: release})
	if got.Want.Reason != reason.Excluded || got.Want.Action != plan.Nothing {
		t.Errorf("asked for by its group: %+v", got.Want)
	}
}
