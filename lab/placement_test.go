// SPDX-License-Identifier: Apache-2.0

//go:build lab

package lab_test

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/internal/filtermods"
	kernel "driverd/kernelsplit"
	"driverd/lab"
)

// eachKernel runs a test for each kernel that the split has to be right for.
func eachKernel(t *testing.T, test func(t *testing.T, tree *kernel.Tree, split *kernel.Split)) {
	t.Helper()
	for _, k := range lab.SplitKernels() {
		t.Run(k.Suite+"-"+k.Flavour, func(t *testing.T) {
			tree := readTree(t, k)
			test(t, tree, divide(t, tree, kernel.DefaultRules()))
		})
	}
}

func TestGuestsFindWhatTheyNeed(t *testing.T) {
	eachKernel(t, func(t *testing.T, tree *kernel.Tree, split *kernel.Split) {
		if err := split.Check(); err != nil {
			t.Error(err)
		}
		if unknown := split.Unknown(); len(unknown) > 0 {
			t.Errorf("%d modules are in no rule, %s for one", len(unknown), unknown[0].Path)
		}
		group := groups(split)
		if len(group) != len(tree.Modules) {
			t.Errorf("%d modules became %d", len(tree.Modules), len(group))
		}
		for _, m := range tree.Modules {
			for _, d := range append(m.Depends, m.SoftDepends...) {
				if !group[m.Name()].Reaches(group[d]) {
					t.Errorf("%s in %s needs %s in %s", m.Name(), group[m.Name()], d, group[d])
				}
			}
		}
		// These have no alias that says to which card they belong.
		for _, companion := range []string{"cnic", "bnx2i", "bnx2fc"} {
			if group[companion] != group["bnx2"] {
				t.Errorf("%s is in %s, bnx2 in %s", companion, group[companion], group["bnx2"])
			}
		}
		for _, name := range []string{"scsi_dh_alua", "dm_crypt", "nd_pmem", "nfit"} {
			if group[name] != "" && group[name] != kernel.Base {
				t.Errorf("%s is in %s: the base asks for it by name", name, group[name])
			}
		}
	})
}

// No id of a PCI device in the real index decides for two groups, the base apart.
func TestOneGroupForEachID(t *testing.T) {
	eachKernel(t, func(t *testing.T, tree *kernel.Tree, split *kernel.Split) {
		group := groups(split)
		type claim struct{ alias, module string }
		byID := make(map[string][]claim) // "v00008086d000010C9"
		for _, m := range tree.Modules {
			for _, alias := range m.Aliases {
				id, _, ok := strings.Cut(strings.TrimPrefix(alias, "pci:"), "sv")
				if strings.HasPrefix(alias, "pci:v") && ok && !strings.Contains(id, "*") {
					byID[id] = append(byID[id], claim{alias, m.Name()})
				}
			}
		}
		for id, claims := range byID {
			for _, c := range claims { // a device that this one is for
				device := strings.NewReplacer("*sd", "00000000sd", "*bc", "00000000bc", "*sc", "00sc", "*i", "00i").Replace(strings.TrimSuffix(c.alias, "*")) + "00"
				var deciding []kernel.Group
				for _, other := range claims {
					g := group[other.module]
					if ok, _ := path.Match(other.alias, device); ok && g != kernel.Base && !slices.Contains(deciding, g) {
						deciding = append(deciding, g)
					}
				}
				if len(deciding) > 1 {
					t.Errorf("%s (%s) decides for %v", id, device, deciding)
				}
			}
		}
		if len(byID) < 3000 {
			t.Errorf("only %d ids seen", len(byID))
		}
	})
}

// The rules for Fedora's own tool place every module as the split does: of one
// kernel, and of all architectures of a release at once.
func TestBothWaysPlaceAlike(t *testing.T) {
	eachKernel(t, func(t *testing.T, tree *kernel.Tree, split *kernel.Split) {
		placesAlike(t, kernel.DefVariants(split), tree, split)
	})
	t.Run("two architectures", func(t *testing.T) {
		amd64, arm64 := readTree(t, lab.AMD64), readTree(t, lab.ARM64)
		both := []*kernel.Split{divide(t, amd64, kernel.DefaultRules()), divide(t, arm64, kernel.DefaultRules())}
		text := kernel.DefVariants(both...)
		placesAlike(t, text, amd64, both[0])
		placesAlike(t, text, arm64, both[1])
	})
}

func placesAlike(t *testing.T, rules string, tree *kernel.Tree, split *kernel.Split) {
	t.Helper()
	parsed, err := filtermods.Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	paths, depends, want := make(map[string]string), make(map[string][]string), make(map[string]string)
	for _, p := range split.Placements {
		paths[p.Name()], want[p.Path] = p.Path, p.Group.Suffix()
	}
	for _, m := range tree.Modules {
		depends[m.Path] = nil
		for _, name := range m.Depends {
			depends[m.Path] = append(depends[m.Path], paths[name])
		}
	}
	got, err := parsed.Place(depends)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(want, got) {
		t.Errorf("%s (-ours +filtermods):\n%s", tree.Release, cmp.Diff(want, got))
	}
}

// From a kernel with Fedora's layout of today, whatever was installed is there
// after the update: all groups are required as long as such a kernel is.
func TestUpdateLosesNothing(t *testing.T) {
	fedora, err := lab.FedoraRules()
	if err != nil {
		t.Fatal(err)
	}
	tree := readTree(t, lab.AMD64)
	before, after := divide(t, tree, fedora), divide(t, tree, kernel.DefaultRules())
	fragment := written(t, after)[kernel.FragmentFile]
	core, _, _ := strings.Cut(fragment, "%description")
	const all = "Requires: (%{name}-modules-uname-r = %{kernel_split_version} if (%{name}-modules-core without %{name}-modules-split))\n"
	if !strings.Contains(core, all) {
		t.Errorf("no %q in\n%s", all, core)
	}
	installed := append(kernel.Hardware.Requires(), kernel.Hardware)
	lost := 0
	group := groups(after)
	for _, m := range before.In(kernel.Base) {
		if !slices.Contains(installed, group[m.Name()]) {
			t.Errorf("%s is gone", m.Name())
		}
		if group[m.Name()] == kernel.Hardware {
			lost++
		}
	}
	if lost < 500 {
		t.Errorf("without that, only %d modules of %d would be lost: this shows nothing", lost, len(before.In(kernel.Base)))
	}
}

// budgets are the bytes that the groups had, as installed, before the base had to
// serve every guest.
var budgets = map[lab.DebianKernel]map[kernel.Group]int64{
	lab.AMD64: {kernel.Base: 26532312, kernel.SRIOV: 7524072, kernel.GPU: 12530552, kernel.Passthrough: 11088616},
	lab.ARM64: {kernel.Base: 20868120, kernel.SRIOV: 6866536, kernel.GPU: 7867444, kernel.Passthrough: 8090976},
	lab.I686:  {kernel.Base: 53183594, kernel.SRIOV: 11393313, kernel.GPU: 16721638, kernel.Passthrough: 17913554},
}

func TestSizes(t *testing.T) {
	for k, budget := range budgets {
		t.Run(k.Suite+"-"+k.Flavour, func(t *testing.T) {
			split := divide(t, readTree(t, k), kernel.DefaultRules())
			for g, limit := range budget {
				if g == kernel.Base {
					limit += 4e6
				}
				if sum := split.Sum(nil, g); sum.Installed > limit {
					t.Errorf("%s has %d bytes, want %d at most", g, sum.Installed, limit)
				}
			}
		})
	}
}

func TestWriteARealTreeTwice(t *testing.T) {
	tree := readTree(t, lab.AMD64)
	first, second := written(t, divide(t, tree, kernel.DefaultRules())), written(t, divide(t, tree, kernel.DefaultRules()))
	if !maps.Equal(first, second) {
		t.Errorf("another run, another split (-first +second):\n%s", cmp.Diff(first, second))
	}
	other := written(t, divide(t, readTree(t, lab.ARM64), kernel.DefaultRules()))
	if diff := cmp.Diff(first[kernel.FragmentFile], other[kernel.FragmentFile]); diff != "" {
		t.Errorf("the sections depend on the tree:\n%s", diff)
	}
}

func written(t *testing.T, split *kernel.Split) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "split")
	if err := split.Write(dir); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(data)
	}
	return all
}

// trees keeps what readTree has read: it takes the time of thousands of
// decompressions.
var trees sync.Map

func readTree(t *testing.T, k lab.DebianKernel) *kernel.Tree {
	t.Helper()
	if tree, ok := trees.Load(k); ok {
		return tree.(*kernel.Tree)
	}
	tree, err := k.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	trees.Store(k, tree)
	return tree
}

func divide(t *testing.T, tree *kernel.Tree, rules kernel.Rules) *kernel.Split {
	t.Helper()
	split, err := kernel.Divide(tree.Release, tree.Modules, rules)
	if err != nil {
		t.Fatal(err)
	}
	return split
}

// groups is the group of each module by its name.
func groups(split *kernel.Split) map[string]kernel.Group {
	group := make(map[string]kernel.Group)
	for _, p := range split.Placements {
		group[p.Name()] = p.Group
	}
	return group
}
