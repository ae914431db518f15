// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
	"driverd/plan"
	"driverd/reason"
)

// Patterns that match igb, from the most to the least that they name.
const (
	exact  = "pci:v00008086d000010C9sv*sd*bc*sc*i*"
	vendor = "pci:v00008086d*sv*sd*bc02sc*i*"
	class  = "pci:v*d*sv*sd*bc02sc00i*"
)

// claim is one that a random guest has: of a module with a name of its own.
type claim struct {
	source  hwdetect.Source
	pattern string
	module  string
	group   string // of the module's package, empty if nobody knows it
}

func (c claim) nevra() string { return "kernel-" + kernelbuild.Subpackage(c.group) + "-1-1.x86_64" }

// guest is a kernel, and the packages of its build, in which these claims hold.
type guest []claim

func (g guest) Problem() error { return nil }

func (g guest) Installed(string) []string {
	var names []string
	for _, c := range g.Claims(hwdetect.Installed, igb) {
		names = append(names, c.Module.Name)
	}
	return names
}

func (g guest) Claims(source hwdetect.Source, device string) []hwdetect.Claim {
	var claims []hwdetect.Claim
	for _, c := range g {
		if c.source == source && modalias.Match(c.pattern, device) {
			claims = append(claims, hwdetect.Claim{Source: source, Alias: c.pattern, Module: hwdetect.Module{Name: c.module}})
		}
	}
	return claims
}

// catalog has a package of each group. It names the modules that the indexes know of.
func (g guest) catalog() *plan.Catalog {
	here := plan.Package{NEVRA: "kernel-here-1-1.x86_64"} // has what is on the guest
	var packages []plan.Package
	for _, group := range kernelbuild.Groups() {
		name := "kernel-" + kernelbuild.Subpackage(group)
		p := plan.Package{NEVRA: name + "-1-1.x86_64", Repo: "lab", Provides: []string{uname(name), "kmod(of_" + group + ".ko)"}}
		for _, c := range g {
			switch {
			case c.group != group:
			case c.source == hwdetect.BuiltIn || c.source == hwdetect.Installed:
				here.Provides = append(here.Provides, "kmod("+c.module+".ko)")
			case c.source == hwdetect.InCatalog:
				p.Provides = append(p.Provides, "modalias("+c.pattern+")")
			case c.source == hwdetect.Shipped || c.source == hwdetect.InIndex:
				p.Provides = append(p.Provides, "kmod("+c.module+".ko)")
			}
		}
		packages = append(packages, p)
	}
	return plan.NewCatalog(append(packages, here))
}

// leads says whether a claim leads to a driver: what driverd's index says of a package
// counts only if the package does not speak for itself.
func (g guest) leads(c claim) bool {
	return c.source != hwdetect.InIndex || !slices.ContainsFunc(g, func(other claim) bool {
		return other.source == hwdetect.InCatalog && other.group == c.group
	})
}

func (g guest) decide(tried plan.Tried) plan.Want {
	return plan.Decide(hwdetect.Device{Modalias: igb}, plan.Facts{Release: release, Kernel: g, Catalog: g.catalog(), Tried: tried})
}

var order = []hwdetect.Source{hwdetect.BuiltIn, hwdetect.Installed, hwdetect.Shipped, hwdetect.InCatalog, hwdetect.InIndex}

// A decision goes by the claim that names most of the device and has not failed, of
// equal ones by that which is nearest and in the smallest package; and by no other.
func TestBestClaim(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var g guest
		for i := range rapid.IntRange(0, 8).Draw(t, "claims") {
			g = append(g, claim{
				source:  rapid.SampledFrom(order).Draw(t, "source"),
				pattern: rapid.SampledFrom([]string{exact, vendor, class}).Draw(t, "pattern"),
				module:  fmt.Sprintf("module_%d", i),
				group:   rapid.SampledFrom(kernelbuild.Groups()).Draw(t, "group"),
			})
		}
		tried := plan.Tried{BuiltIn: rapid.Bool().Draw(t, "built-in tried"), Silent: true}
		if rapid.Bool().Draw(t, "installed tried") {
			tried.Modules = g.Installed(igb)
		}
		left := slices.DeleteFunc(slices.Clone(g), func(c claim) bool {
			return c.source == hwdetect.BuiltIn && tried.BuiltIn || c.source == hwdetect.Installed && tried.Modules != nil || !g.leads(c)
		})
		slices.SortStableFunc(left, func(a, b claim) int {
			return cmp.Or(
				cmp.Compare(modalias.SpecificityOf(b.pattern), modalias.SpecificityOf(a.pattern)),
				cmp.Compare(slices.Index(order, a.source), slices.Index(order, b.source)),
				cmp.Compare(slices.Index(kernelbuild.Groups(), a.group), slices.Index(kernelbuild.Groups(), b.group)))
		})
		got := g.decide(tried)
		if len(left) == 0 {
			if got.Action == plan.Install || got.State == "" {
				t.Fatalf("nothing is left, and it is decided %+v", got)
			}
			return
		}
		check := func(got plan.Want) {
			t.Helper()
			switch best := left[0]; best.source {
			case hwdetect.BuiltIn:
				if got.Action != plan.Await || !slices.Contains(got.Modules, best.module) {
					t.Fatalf("of %v: %+v, want to await %s", g, got, best.module)
				}
			case hwdetect.Installed:
				if got.Action != plan.Load || !slices.Contains(got.Modules, best.module) {
					t.Fatalf("of %v: %+v, want to load %s", g, got, best.module)
				}
			default:
				if got.Action != plan.Install || !slices.Equal(got.Packages, []string{best.nevra()}) {
					t.Fatalf("of %v: %+v, want to install %s", g, got, best.nevra())
				}
			}
		}
		check(got)
		without := slices.Index(g, rapid.SampledFrom(g).Draw(t, "without"))
		if g[without] == left[0] || g[without].source == hwdetect.InCatalog {
			return // without a package's word, that of the index counts
		}
		check(slices.Delete(slices.Clone(g), without, without+1).decide(tried))
	})
}

// What became of the guests of the reports.
func TestGivesWay(t *testing.T) {
	t.Parallel()
	ataGeneric := claim{source: hwdetect.Installed, pattern: class, module: "ata_generic"}
	jmicron := claim{source: hwdetect.InCatalog, pattern: vendor, group: "passthrough"}
	virtio := claim{source: hwdetect.BuiltIn, pattern: "pci:v00008086d*sv*sd*bc*sc*i*", module: "virtio_pci"}
	igbHere := claim{source: hwdetect.Installed, pattern: exact, module: "igb"}
	for name, test := range map[string]struct {
		guest guest
		tried plan.Tried
		want  plan.Want // Message apart
		says  string
	}{
		"a class does not hide a vendor": {
			guest{ataGeneric, jmicron}, plan.Tried{},
			plan.Want{Action: plan.Install, State: plan.Pending, Modules: []string{"ata_generic"}, Packages: []string{jmicron.nevra()}, Group: "passthrough"}, "",
		},
		"a driver of a class, and nothing better": {
			guest{ataGeneric}, plan.Tried{}, plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"ata_generic"}}, "",
		},
		"a driver of a class that has not taken it": {
			guest{ataGeneric}, plan.Tried{Modules: []string{"ata_generic"}, Silent: true},
			plan.Want{State: plan.Unsupported, Reason: reason.NoDriver}, "ata_generic, for all devices of its class, has not taken it",
		},
		"a driver of a class that has said why": {
			guest{ataGeneric}, plan.Tried{Modules: []string{"ata_generic"}}, plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"ata_generic"}}, "",
		},
		"a built-in driver of a vendor, in time": {
			guest{virtio}, plan.Tried{}, plan.Want{Action: plan.Await, State: plan.Pending, Modules: []string{"virtio_pci"}}, "",
		},
		"ivshmem": {
			guest{virtio}, plan.Tried{BuiltIn: true}, plan.Want{State: plan.Unsupported, Reason: reason.NoDriver}, "virtio_pci, for all devices of its vendor, has not taken it",
		},
		"a built-in driver gives way": {
			guest{virtio, jmicron}, plan.Tried{BuiltIn: true},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{jmicron.nevra()}, Group: "passthrough"}, "",
		},
		"the right driver has failed": {
			guest{igbHere}, plan.Tried{Modules: []string{"igb"}, Silent: true}, plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"igb"}}, "",
		},
		"other modules than were tried": {
			guest{igbHere, ataGeneric}, plan.Tried{Modules: []string{"igb"}},
			plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"igb", "ata_generic"}}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := test.guest.decide(test.tried)
			if diff := gocmp.Diff(test.want, got, cmpopts.IgnoreFields(plan.Want{}, "Message")); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(got.Message, test.says) || (test.says == "") != (got.Message == "") {
				t.Errorf("it says %q", got.Message)
			}
		})
	}
}

// Vendor and product stand for every device of them.
func TestProduct(t *testing.T) {
	t.Parallel()
	with := func(group string, patterns ...string) plan.Package {
		p := plan.Package{NEVRA: group, Repo: "lab", Provides: []string{uname("kernel-" + kernelbuild.Subpackage(group))}}
		for _, pattern := range patterns {
			p.Provides = append(p.Provides, "modalias("+pattern+")")
		}
		return p
	}
	const subsystem, display, compute = "pci:v00008086d000010C9sv00008086sd*bc*sc*i*", "pci:v00008086d*sv*sd*bc03sc*i*", "pci:v00008086d*sv*sd*bc12sc00i00*"
	for name, test := range map[string]struct {
		packages []plan.Package
		want     plan.Want // Message apart
		claims   int
		says     string
	}{
		"by the subsystem": {
			[]plan.Package{with("sriov", subsystem), with("gpu", display), with("hardware", class)},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{"sriov"}, Group: "sriov"}, 1, "",
		},
		"by the vendor": {
			[]plan.Package{with("sriov", "pci:v00008086d*sv*sd*bc*sc*i*"), with("hardware", class)},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{"sriov"}, Group: "sriov"}, 1, "",
		},
		"by two classes, in one package": {
			[]plan.Package{with("gpu", display, compute), with("hardware", class)},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{"gpu"}, Group: "gpu"}, 2, "",
		},
		"by two classes, in two packages": {
			[]plan.Package{with("gpu", display), with("passthrough", compute)},
			plan.Want{State: plan.Unavailable, Reason: reason.NoPackage}, 2, "(gpu for class 03, passthrough for class 120000)",
		},
		"by the class alone": {
			[]plan.Package{with("hardware", class)},
			plan.Want{State: plan.Unavailable, Reason: reason.NoPackage}, 1, "(hardware for class 0200)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			subject, err := plan.ParseSubject("8086:10C9")
			if err != nil {
				t.Fatal(err)
			}
			got := plan.Explain(subject.Device, plan.Facts{Release: release, Kernel: kernel{}, Catalog: plan.NewCatalog(test.packages)})
			if diff := gocmp.Diff(test.want, got.Want, cmpopts.IgnoreFields(plan.Want{}, "Message")); diff != "" || len(got.Claims) != test.claims {
				t.Errorf("%s\n%+v", diff, got)
			}
			if !strings.Contains(got.Want.Message, test.says) {
				t.Errorf("it says %q", got.Want.Message)
			}
		})
	}
}
