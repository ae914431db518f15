// SPDX-License-Identifier: Apache-2.0

package kernelsplit_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/internal/filtermods"
	"driverd/kernelsplit"
)

func TestDefVariants(t *testing.T) {
	split, err := kernelsplit.Divide(release, []*kernelsplit.Module{
		{Path: "kernel/net/a.ko.xz"},
		{Path: "kernel/net/b.ko.xz"},
		{Path: "kernel/net/sub/c.ko.xz"},
		{Path: "kernel/net/sub/d+e.ko.xz"},
		{Path: "kernel/sound/f.ko.xz"},
	}, parse(t, "sriov name=d+e\nbase path=kernel/net/\nhardware path=kernel/"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`packages:
  - name: modules-core
    depends-on: []
  - name: modules-sriov
    depends-on:
    - modules-core
  - name: modules-gpu
    depends-on:
    - modules-core
  - name: modules-passthrough
    depends-on:
    - modules-core
  - name: modules
    depends-on:
    - modules-sriov
    - modules-gpu
    - modules-passthrough

rules:
  - net/sub/d\+e\.ko: modules-sriov
  - net/.*: modules-core
  - default: modules
`, kernelsplit.DefVariants(split)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Both ways put every module into the same subpackage.
func TestDefVariantsPlacesAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		modules, rules := anyModules(t)
		split, err := kernelsplit.Divide(release, modules, rules)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := filtermods.Parse(kernelsplit.DefVariants(split))
		if err != nil {
			t.Fatal(err)
		}
		depends := make(map[string][]string)
		for _, m := range modules {
			depends[m.Path] = nil
			for _, name := range m.Depends {
				i := slices.IndexFunc(modules, func(d *kernelsplit.Module) bool { return d.Name() == name })
				depends[m.Path] = append(depends[m.Path], modules[i].Path)
			}
		}
		got, err := parsed.Place(depends)
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[string]string)
		for _, p := range split.Placements {
			want[p.Path] = p.Group.Suffix()
		}
		if !maps.Equal(want, got) {
			t.Errorf("(-ours +filtermods):\n%s", cmp.Diff(want, got))
		}
	})
}
