// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/plan"
	"driverd/reason"
)

const (
	release = "7.2.12+deb14-amd64"
	igb     = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"
	edu     = "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00"

	lpc = "pci:v00008086d00002918sv00001AF4sd00001100bc06sc01i00"

	core  = "kernel-modules-core-7.2.12-1.x86_64"
	sriov = "kernel-modules-sriov-7.2.12-1.x86_64"

	hardware = "kernel-modules-7.2.12-1.x86_64"
)

// kernel claims what its maps say. It makes no difference between a module's alias and
// the modalias.
type kernel struct {
	builtIn, installed map[string][]string
	shipped, index     map[string][]hwdetect.Module
	problem            error
}

func (k kernel) Installed(alias string) []string { return k.installed[alias] }
func (k kernel) Problem() error                  { return k.problem }

func (k kernel) Claims(source hwdetect.Source, alias string) []hwdetect.Claim {
	var all []hwdetect.Module
	switch source {
	case hwdetect.BuiltIn:
		all = ofNames(k.builtIn[alias])
	case hwdetect.Installed:
		all = ofNames(k.installed[alias])
	case hwdetect.Shipped:
		all = k.shipped[alias]
	case hwdetect.InIndex:
		all = k.index[alias]
	}
	var claims []hwdetect.Claim
	for _, m := range all {
		claims = append(claims, hwdetect.Claim{Source: source, Alias: alias, Module: m})
	}
	return claims
}

func ofNames(names []string) []hwdetect.Module {
	var all []hwdetect.Module
	for _, name := range names {
		all = append(all, hwdetect.Module{Name: name})
	}
	return all
}

func uname(name string) string { return name + "-uname-r = " + release }

func catalog() *plan.Catalog { return plan.NewCatalog(packages()) }

func packages() []plan.Package {
	return []plan.Package{
		{NEVRA: core, Repo: "lab", Provides: []string{uname("kernel-modules-core"), "kmod(virtio-net.ko)"}},
		{NEVRA: sriov, Repo: "lab", Provides: []string{
			uname("kernel-modules-sriov"), "kmod(igb.ko)", "installonlypkg(kernel-module)",
			"modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*) = 5.6.0-k",
		}},
		{NEVRA: hardware, Repo: "lab", Provides: []string{
			uname("kernel-modules"), "kmod(lpc_ich.ko)", "modalias(pci:v00008086d00002918sv*sd*bc*sc*i*)",
		}},
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	one := func(alias, module string) map[string][]string { return map[string][]string{alias: {module}} }
	shipped := func(group string, names ...string) kernel {
		var all []hwdetect.Module
		for _, name := range names {
			all = append(all, hwdetect.Module{Name: name, Group: group})
		}
		return kernel{shipped: map[string][]hwdetect.Module{igb: all}}
	}
	withoutAliases := plan.NewCatalog([]plan.Package{
		{NEVRA: core, Repo: "lab", Provides: []string{uname("kernel-modules-core"), "kmod(virtio-net.ko)"}},
		{NEVRA: sriov, Repo: "lab", Provides: []string{uname("kernel-modules-sriov"), "kmod(igb.ko)"}},
	})
	unreachable := reason.With(reason.RepoUnreachable, errors.New("cannot download lab: connection refused"))
	for name, test := range map[string]struct {
		device hwdetect.Device
		facts  plan.Facts
		want   plan.Want // Message apart
	}{
		"bound": {
			hwdetect.Device{Modalias: igb, Driver: "igb"},
			plan.Facts{Kernel: kernel{installed: one(igb, "igb")}, Catalog: catalog()},
			plan.Want{State: plan.Bound, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"installed, and not whole": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: kernel{installed: one(igb, "igb")}, Catalog: catalog(), Incomplete: []string{core, sriov}},
			plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Incomplete: []string{sriov}, Group: "sriov"},
		},
		"bound wins over driver_override": {
			hwdetect.Device{Modalias: igb, Driver: "vfio-pci", DriverOverride: "vfio-pci"},
			plan.Facts{},
			plan.Want{State: plan.Bound},
		},
		"bound with a broken modalias": {
			hwdetect.Device{Driver: "igb", Problem: errors.New("broken")},
			plan.Facts{},
			plan.Want{State: plan.Bound},
		},
		"driver_override": {
			hwdetect.Device{Modalias: igb, DriverOverride: "vfio-pci"},
			plan.Facts{Catalog: catalog()},
			plan.Want{State: plan.Blocked, Reason: reason.DriverOverride},
		},
		"broken modalias": {
			hwdetect.Device{Problem: errors.New("cannot read modalias")},
			plan.Facts{Catalog: catalog()},
			plan.Want{State: plan.Unsupported, Reason: reason.NoDriver},
		},
		"built in": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: kernel{builtIn: one(igb, "igb"), installed: one(igb, "other")}, Catalog: catalog()},
			plan.Want{Action: plan.Await, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"installed": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: kernel{installed: one(igb, "igb")}, Catalog: catalog()},
			plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"catalog not learned yet": {
			hwdetect.Device{Modalias: igb}, plan.Facts{},
			plan.Want{Action: plan.Learn, State: plan.Pending},
		},
		"in the catalog": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Catalog: catalog()},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"},
		},
		"a bridge of the chipset": {
			hwdetect.Device{Modalias: lpc, Class: 0x060100}, plan.Facts{Catalog: catalog()},
			plan.Want{State: plan.Blocked, Reason: reason.Policy, Packages: []string{hardware}, Group: "hardware"},
		},
		"a bridge of the chipset that somebody asks for": {
			hwdetect.Device{Modalias: lpc, Class: 0x060100}, plan.Facts{Catalog: catalog(), Asked: true},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{hardware}, Group: "hardware"},
		},
		"the USB controller of a card": {
			hwdetect.Device{Slot: hwdetect.Slot{Bus: 1, Function: 2}, Modalias: lpc, Class: 0x0c0330}, plan.Facts{Catalog: catalog()},
			plan.Want{State: plan.Blocked, Reason: reason.Policy, Packages: []string{hardware}, Group: "hardware"},
		},
		"a USB controller that is a card": {
			hwdetect.Device{Slot: hwdetect.Slot{Bus: 1}, Modalias: lpc, Class: 0x0c0330}, plan.Facts{Catalog: catalog()},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{hardware}, Group: "hardware"},
		},
		"the second port of a card": {
			hwdetect.Device{Slot: hwdetect.Slot{Bus: 1, Function: 1}, Modalias: lpc, Class: 0x020000}, plan.Facts{Catalog: catalog()},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{hardware}, Group: "hardware"},
		},
		"the sound of a card, in a smaller package": {
			hwdetect.Device{Slot: hwdetect.Slot{Bus: 1, Function: 1}, Modalias: igb, Class: 0x040300}, plan.Facts{Catalog: catalog()},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"},
		},
		"a bridge of the chipset with a built-in driver": {
			hwdetect.Device{Modalias: lpc, Class: 0x060000}, plan.Facts{Kernel: kernel{builtIn: one(lpc, "agp")}, Catalog: catalog()},
			plan.Want{State: plan.Blocked, Reason: reason.Policy},
		},
		"a bridge that is passed through": {
			hwdetect.Device{Modalias: igb, Class: 0x068000}, plan.Facts{Catalog: catalog()},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"},
		},
		"a bridge of the chipset whose driver is installed": {
			hwdetect.Device{Modalias: igb, Class: 0x060100}, plan.Facts{Kernel: kernel{installed: one(igb, "igb")}, Catalog: catalog()},
			plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"in a catalog that is only a part": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Catalog: catalog(), CatalogProblem: unreachable},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"},
		},
		"not in a catalog that is only a part": {
			hwdetect.Device{Modalias: edu}, plan.Facts{Catalog: catalog(), CatalogProblem: unreachable},
			plan.Want{State: plan.Unavailable, Reason: reason.RepoUnreachable},
		},
		"catalog cannot be learned": {
			hwdetect.Device{Modalias: igb}, plan.Facts{CatalogProblem: unreachable},
			plan.Want{State: plan.Unavailable, Reason: reason.RepoUnreachable},
		},
		"nobody knows it": {
			hwdetect.Device{Modalias: edu}, plan.Facts{Catalog: catalog()},
			plan.Want{State: plan.Unsupported, Reason: reason.NoDriver},
		},
		"kernel of no package": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Catalog: plan.NewCatalog(nil)},
			plan.Want{State: plan.Blocked, Reason: reason.ForeignKernel},
		},
		"kernel gone from the repositories": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Catalog: plan.NewCatalog([]plan.Package{{NEVRA: core, Provides: []string{uname("kernel-modules-core")}}})},
			plan.Want{State: plan.Unavailable, Reason: reason.StaleKernel},
		},
		"excluded": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Catalog: hiding(sriov)},
			plan.Want{State: plan.Unavailable, Reason: reason.Excluded, Packages: []string{sriov}, Group: "sriov"},
		},
		"excluded, and not this one": {
			hwdetect.Device{Modalias: edu}, plan.Facts{Catalog: hiding(sriov)},
			plan.Want{State: plan.Unsupported, Reason: reason.NoDriver},
		},
		"all excluded": {
			hwdetect.Device{Modalias: edu}, plan.Facts{Catalog: hiding(core, sriov, hardware)},
			plan.Want{State: plan.Unavailable, Reason: reason.Excluded},
		},
		"packages that do not say for which kernel they are": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Catalog: plan.NewCatalog([]plan.Package{{NEVRA: core, Installed: true, Provides: []string{"kmod(virtio-net.ko)"}}}), Kernel: shipped("sriov", "igb")},
			plan.Want{State: plan.Unavailable, Reason: reason.NoPackage, Modules: []string{"igb"}, Group: "sriov"},
		},
		"in the catalog, which is in doubt": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Catalog: catalog(), Doubtful: true},
			plan.Want{Action: plan.Install, State: plan.Pending, Packages: []string{sriov}, Group: "sriov"},
		},
		"not in the catalog, which is in doubt": {
			hwdetect.Device{Modalias: edu}, plan.Facts{Catalog: catalog(), Doubtful: true},
			plan.Want{Action: plan.Learn, State: plan.Pending},
		},
		"packages without modalias()": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Catalog: plan.NewCatalog([]plan.Package{{NEVRA: core, Repo: "lab", Provides: []string{uname("kernel-modules-core"), "kmod(igb.ko)"}}})},
			plan.Want{State: plan.Unsupported, Reason: reason.NoDriver},
		},
		"packages with neither modalias() nor kmod()": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Catalog: plan.NewCatalog([]plan.Package{{NEVRA: core, Repo: "lab", Provides: []string{uname("kernel-modules-core")}}})},
			plan.Want{State: plan.Unavailable, Reason: reason.NoPackage},
		},
		"in driverd's index, and packages without modalias()": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: kernel{index: map[string][]hwdetect.Module{igb: {{Name: "igb"}, {Name: "not_here"}}}}, Catalog: withoutAliases},
			plan.Want{Action: plan.Install, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"in driverd's index, and a package that says that it does not drive it": {
			hwdetect.Device{Modalias: edu}, plan.Facts{Kernel: kernel{index: map[string][]hwdetect.Module{edu: {{Name: "igb"}}}}, Catalog: catalog()},
			plan.Want{State: plan.Unsupported, Reason: reason.NoDriver},
		},
		"in the catalog, which driverd's index gives the name of": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: kernel{index: map[string][]hwdetect.Module{igb: {{Name: "igb"}}}}, Catalog: catalog()},
			plan.Want{Action: plan.Install, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"in the catalog, and shipped": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: shipped("base", "igb", "other"), Catalog: catalog()},
			plan.Want{Action: plan.Install, State: plan.Pending, Modules: []string{"igb", "other"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"shipped, and packages without modalias()": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: shipped("sriov", "igb"), Catalog: withoutAliases},
			plan.Want{Action: plan.Install, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"shipped, in several packages without modalias()": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: shipped("sriov", "virtio_net", "unheard_of", "igb"), Catalog: withoutAliases},
			plan.Want{
				Action: plan.Install, State: plan.Pending, Modules: []string{"virtio_net", "unheard_of"},
				Packages: []string{core}, Group: "base",
			},
		},
		"shipped, for the chipset": {
			hwdetect.Device{Modalias: lpc, Class: 0x060100}, plan.Facts{Kernel: kernel{shipped: map[string][]hwdetect.Module{
				lpc: {{Name: "virtio_net", Group: "hardware"}},
			}}, Catalog: withoutAliases},
			plan.Want{State: plan.Blocked, Reason: reason.Policy, Modules: []string{"virtio_net"}, Packages: []string{core}, Group: "base"},
		},
		"shipped, before the catalog is learned": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: shipped("sriov", "igb")},
			plan.Want{Action: plan.Learn, State: plan.Pending, Modules: []string{"igb"}, Group: "sriov"},
		},
		"shipped, and the catalog cannot be learned": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: shipped("sriov", "igb"), CatalogProblem: unreachable},
			plan.Want{State: plan.Unavailable, Reason: reason.RepoUnreachable, Modules: []string{"igb"}, Group: "sriov"},
		},
		"shipped, with firmware": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Catalog: catalog(), Kernel: kernel{shipped: map[string][]hwdetect.Module{igb: {
				{Name: "igb", Group: "sriov", Firmware: []string{"a.bin", "b/c.bin"}}, {Name: "other", Group: "sriov", Firmware: []string{"d.bin"}},
			}}}},
			plan.Want{
				Action: plan.Install, State: plan.Pending, Modules: []string{"igb", "other"}, Packages: []string{sriov}, Group: "sriov",
				Firmware: []string{"a.bin", "b/c.bin", "d.bin"},
			},
		},
		"shipped, with firmware, and only observed": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Observe: true, Catalog: catalog(), Kernel: kernel{shipped: map[string][]hwdetect.Module{igb: {
				{Name: "igb", Group: "sriov", Firmware: []string{"a.bin"}},
			}}}},
			plan.Want{
				State: plan.Blocked, Reason: reason.ObserveOnly, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov",
				Firmware: []string{"a.bin"},
			},
		},
		"shipped, and no package says that it holds it": {
			hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: shipped("of no group", "unheard_of"), Catalog: withoutAliases},
			plan.Want{State: plan.Unavailable, Reason: reason.NoPackage, Modules: []string{"unheard_of"}},
		},
		"installed wins over shipped": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Kernel: kernel{installed: one(igb, "igb"), shipped: shipped("sriov", "other").shipped}, Catalog: catalog()},
			plan.Want{Action: plan.Load, State: plan.Pending, Modules: []string{"igb"}, Packages: []string{sriov}, Group: "sriov"},
		},
		"installed package whose modules the index does not know": {
			hwdetect.Device{Modalias: igb},
			plan.Facts{Catalog: plan.NewCatalog([]plan.Package{{NEVRA: sriov, Provides: []string{"modalias(" + igb + ")"}}})},
			plan.Want{Action: plan.Load, State: plan.Pending, Packages: []string{sriov}, Group: "base"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.facts.Kernel == nil {
				test.facts.Kernel = kernel{}
			}
			test.facts.Release = release
			got := plan.Decide(test.device, test.facts)
			if (got.Message != "") != (test.want.Reason != reason.None) {
				t.Errorf("reason %q comes with the message %q", got.Reason, got.Message)
			}
			got.Message = ""
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGroupComesFromTheCapability(t *testing.T) {
	t.Parallel()
	for capability, group := range map[string]string{
		"kernel-uname-r":                     "base",
		"kernel-core-uname-r":                "base",
		"kernel-modules-core-uname-r":        "base",
		"kernel-modules-sriov-uname-r":       "sriov",
		"kernel-modules-gpu-uname-r":         "gpu",
		"kernel-64k-modules-gpu-uname-r":     "gpu",
		"kernel-modules-passthrough-uname-r": "passthrough",
		"kernel-modules-uname-r":             "hardware",
		"kernel-modules-extra-uname-r":       "hardware",
		"kernel-64k-modules-core-uname-r":    "base",
	} {
		c := plan.NewCatalog([]plan.Package{{NEVRA: "p", Repo: "lab", Provides: []string{capability + " = " + release, "modalias(" + igb + ")"}}})
		got := plan.Decide(hwdetect.Device{Modalias: igb}, plan.Facts{Kernel: kernel{}, Catalog: c})
		if got.Group != group {
			t.Errorf("%s: group %q, want %q", capability, got.Group, group)
		}
	}
}

// Whatever a repository claims, a decision comes out, only packages of the
// catalog are installed, and a pattern without a PCI vendor field claims nothing.
func TestGarbageProvides(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		garbage := rapid.SliceOf(rapid.OneOf(
			rapid.String(),
			rapid.SampledFrom([]string{"modalias(", "modalias()", "modalias(*)", "modalias([)", "modalias(p*)", "kmod()", "kmod(.ko)", "-uname-r", ")(", "modalias(pci:v[)"}),
		)).Draw(t, "provides")
		c := plan.NewCatalog([]plan.Package{{NEVRA: "garbage", Repo: "lab", Provides: garbage}})
		alias := rapid.Custom(func(t *rapid.T) string {
			return modalias.ID{Vendor: rapid.Uint32().Draw(t, "vendor"), Product: rapid.Uint32().Draw(t, "device")}.String()
		}).Draw(t, "modalias")
		got := plan.Decide(hwdetect.Device{Modalias: alias}, plan.Facts{Kernel: kernel{}, Catalog: c})
		if got.State == "" || got.Action == plan.Install {
			t.Fatalf("garbage decides %+v", got)
		}
		if x := plan.Explain(hwdetect.Device{Modalias: alias}, plan.Facts{Kernel: kernel{}, Catalog: c}); len(x.Claims) > 0 {
			t.Fatalf("garbage claims %+v", x.Claims)
		}
	})
}

func TestEveryReasonHasItsState(t *testing.T) {
	t.Parallel()
	for r, want := range map[reason.Reason]plan.State{
		reason.NoDriver:          plan.Unsupported,
		reason.RepoUnreachable:   plan.Unavailable,
		reason.BackendMissing:    plan.Unavailable,
		reason.StaleKernel:       plan.Unavailable,
		reason.NotAuthorized:     plan.Blocked,
		reason.Blacklisted:       plan.Blocked,
		reason.ProbeFailed:       plan.Failed,
		reason.FirmwareMissing:   plan.Failed,
		reason.TransactionFailed: plan.Failed,
	} {
		if got := plan.StateOf(r); got != want {
			t.Errorf("%s: %s, want %s", r, got, want)
		}
	}
}
