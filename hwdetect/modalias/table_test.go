// SPDX-License-Identifier: Apache-2.0

package modalias_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/hwdetect/modalias"
)

func TestTableOrderAndDuplicates(t *testing.T) {
	var b modalias.Builder
	b.Add("pci:v*d*sv*sd*bc02sc00i*", 7)
	b.Add("pci:v00008086d000010C9sv*sd*bc*sc*i*", 3)
	b.Add("*", 9)
	b.Add(igb, 7)
	b.Add("[", 1)
	b.Add("pci:v00008086d000010CAsv*sd*bc*sc*i*", 4)
	table := b.Build()

	dst := []int{42}
	if diff := cmp.Diff([]int{42, 7, 3, 9}, table.AppendMatches(dst, igb)); diff != "" {
		t.Errorf("AppendMatches (-want +got):\n%s", diff)
	}
}

func TestTableEmpty(t *testing.T) {
	var table modalias.Table
	if got := table.AppendMatches(nil, igb); got != nil {
		t.Errorf("an empty table matches %v", got)
	}
}

func TestTableIsLinearScan(t *testing.T) {
	pattern := rapid.OneOf(
		rapid.StringMatching(`pci:v0000808[67]d000010C[9A]sv\*`),
		rapid.StringMatching(`pci:v\*d\*sv\*bc0[12]sc00i[\*0]*`),
		rapid.StringMatching(`(pci:v0000808|\*|\?|\[!x\]|6|d|\\p)*`),
	)
	name := rapid.OneOf(
		rapid.StringMatching(`pci:v0000808[67]d000010C[9A]sv00bc0[12]sc00i00`),
		rapid.StringMatching(`(pci:v0000808|6|d|x)*`),
	)
	rapid.Check(t, func(t *rapid.T) {
		patterns := rapid.SliceOfN(pattern, 0, 30).Draw(t, "patterns")
		values := rapid.SliceOfN(rapid.IntRange(-3, 3), len(patterns), len(patterns)).Draw(t, "values")
		name := name.Draw(t, "name")

		var b modalias.Builder
		var want []int
		for i, p := range patterns {
			b.Add(p, values[i])
			if modalias.Match(p, name) && !slices.Contains(want, values[i]) {
				want = append(want, values[i])
			}
		}
		if diff := cmp.Diff(want, b.Build().AppendMatches(nil, name)); diff != "" {
			t.Fatalf("table against linear scan (-want +got):\n%s", diff)
		}
	})
}

func TestTableClaims(t *testing.T) {
	const some = "pci:v00008086d000010C9sv00001AF4sd*bc*sc*i*"
	var b modalias.Builder
	b.Add("pci:v00008086d000010C[89]sv*sd*bc*sc*i*", 3)
	b.Add("pci:v*d*sv*sd*bc02sc00i*", 7)
	b.Add(some, 3)
	b.Add("pci:v00008086d000010CAsv*sd*bc*sc*i*", 4)
	b.Add("pci:v00008086d*sv*sd*bc*sc*i*", 3)
	table := b.Build()
	set := modalias.Claim{Pattern: "pci:v00008086d000010C[89]sv*sd*bc*sc*i*", Value: 3}
	vendor := modalias.Claim{Pattern: "pci:v00008086d*sv*sd*bc*sc*i*", Value: 3}

	want := []modalias.Claim{set, {Pattern: "pci:v*d*sv*sd*bc02sc00i*", Value: 7}, vendor}
	if diff := cmp.Diff(want, table.Claims(igb)); diff != "" {
		t.Errorf("of a device (-want +got):\n%s", diff)
	}
	// Of a product: whatever class and subsystem a pattern asks for.
	want = []modalias.Claim{set, {Pattern: "pci:v*d*sv*sd*bc02sc00i*", Value: 7}, {Pattern: some, Value: 3}, vendor}
	if diff := cmp.Diff(want, table.Claims(modalias.Any(0x8086, 0x10c9))); diff != "" {
		t.Errorf("of a product (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{3, 7}, table.AppendMatches(nil, modalias.Any(0x8086, 0x10c9))); diff != "" {
		t.Errorf("AppendMatches of a product (-want +got):\n%s", diff)
	}
	want = []modalias.Claim{{Pattern: "pci:v*d*sv*sd*bc02sc00i*", Value: 7}}
	if diff := cmp.Diff(want, table.Claims(modalias.Any(0x1234, 0x5678))); diff != "" {
		t.Errorf("of an unknown product (-want +got):\n%s", diff)
	}
}

// kernelSized has as many PCI patterns as a distribution's kernel, in the
// same proportion: ten thousand with vendor and product, a few without.
func kernelSized() *modalias.Table {
	var b modalias.Builder
	for i := range 10000 {
		b.Add(fmt.Sprintf("pci:v%08Xd%08Xsv*sd*bc*sc*i*", 0x8080+i%50, 0x1010+i/50), i/15)
	}
	for i := range 15 {
		b.Add(fmt.Sprintf("pci:v*d*sv*sd*bc%02Xsc%02Xi*", i, i), 700+i)
	}
	return b.Build()
}

func TestTableLookupDoesNotAllocate(t *testing.T) {
	table, dst := kernelSized(), make([]int, 0, 8)
	if n := testing.AllocsPerRun(100, func() { dst = table.AppendMatches(dst[:0], igb) }); n != 0 {
		t.Errorf("%v allocations per lookup, want 0", n)
	}
	if len(dst) == 0 {
		t.Error("nothing found")
	}
}

func BenchmarkTableLookup(b *testing.B) {
	table, dst := kernelSized(), make([]int, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		dst = table.AppendMatches(dst[:0], igb)
	}
}
