// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// denies is a law that forbids one module.
type denies string

func (d denies) Denial(_, module string) string {
	if module == string(d) {
		return "blacklist in local.conf:3"
	}
	return ""
}

// What a child of a bound device needs.
func TestDecideChild(t *testing.T) {
	t.Parallel()
	const rdma, own, other, large = "auxiliary:mlx5_core.rdma", "sriov-1-1.x86_64", "small-1-1.x86_64", "large-1-1.x86_64"
	packages := func(all ...plan.Package) *plan.Catalog { return plan.NewCatalog(all) }
	holds := func(nevra string, size int64, installed bool) plan.Package {
		p := plan.Package{NEVRA: nevra, Repo: "lab", Installed: installed, DownloadSize: size}
		p.Provides = []string{"kmod(" + strings.ReplaceAll(nevra, "-1-1.x86_64", "") + ".ko)"}
		return p
	}
	shipped := func(modules ...string) (m hwdetect.ChildModules) {
		for _, name := range modules {
			m.Shipped = append(m.Shipped, hwdetect.Module{Name: name})
		}
		return m
	}
	for _, c := range []struct {
		name    string
		child   plan.Child
		facts   plan.Facts
		action  plan.Action
		reason  reason.Reason
		message string // a part of it; empty if there is none
	}{
		{name: "bound", child: plan.Child{Child: hwdetect.Child{Driver: "mlx5_ib"}, Modules: hwdetect.ChildModules{Installed: []string{"mlx5_ib"}}}},
		{name: "installed", child: plan.Child{Modules: hwdetect.ChildModules{Installed: []string{"mlx5_ib"}}}, action: plan.Load},
		{name: "not indexed yet", child: plan.Child{Modules: hwdetect.ChildModules{Fresh: []string{"mlx5_ib"}}}, action: plan.Load},
		{name: "blacklisted", child: plan.Child{Modules: hwdetect.ChildModules{Installed: []string{"mlx5_ib"}}}, facts: plan.Facts{Law: denies("mlx5_ib")}, reason: reason.Blacklisted, message: "local.conf:3"},
		{name: "one of two blacklisted", child: plan.Child{Modules: hwdetect.ChildModules{Installed: []string{"mlx5_ib", "other"}}}, facts: plan.Facts{Law: denies("mlx5_ib")}, action: plan.Load},
		{name: "denied", child: plan.Child{Modules: hwdetect.ChildModules{Installed: []string{"mlx5_ib"}}}, facts: plan.Facts{Policy: plan.Policy{Rules: []plan.Rule{{Modules: []string{"mlx5_*"}}}}}, reason: reason.Policy, message: "denies"},
		{name: "observed", child: plan.Child{Modules: hwdetect.ChildModules{Installed: []string{"mlx5_ib"}}}, facts: plan.Facts{Observe: true}, reason: reason.ObserveOnly, message: "load mlx5_ib"},
		{name: "nothing is known", reason: reason.NoDriver},
		{name: "no package has it", child: plan.Child{Modules: shipped("mlx5_ib")}, facts: plan.Facts{Catalog: packages()}, reason: reason.NoDriver},
		{name: "its package is there", child: plan.Child{Modules: shipped("sriov")}, facts: plan.Facts{Catalog: packages(holds(own, 1, true))}, reason: reason.NoDriver},
		{name: "reported", child: plan.Child{Modules: shipped("large")}, facts: plan.Facts{Catalog: packages(holds(large, 1, false))}, reason: reason.Policy, message: large + ", which is not installed; to install it: driverd install 'kmod(large.ko)'"},
		{name: "by its Provides alone", child: plan.Child{Packages: []string{large}}, facts: plan.Facts{Catalog: packages(holds(large, 1, false))}, reason: reason.Policy, message: "to install it: dnf5 install " + large},
		{name: "the smallest of several", child: plan.Child{Modules: shipped("large", "small")}, facts: plan.Facts{Catalog: packages(holds(large, 9, false), holds(other, 1, false))}, reason: reason.Policy, message: "its driver small is in " + other + ", which is not installed; to install it: driverd install 'kmod(small.ko)'"},
		{name: "the device's own first", child: plan.Child{Modules: shipped("small", "sriov")}, facts: plan.Facts{Catalog: packages(holds(own, 9, false), holds(other, 1, false))}, reason: reason.Policy, message: "its driver sriov is in " + own},
		{name: "to be installed", child: plan.Child{Modules: shipped("large")}, facts: plan.Facts{Catalog: packages(holds(large, 1, false)), Policy: plan.Policy{InstallForChildren: true}}, action: plan.Install},
		{name: "held", child: plan.Child{Modules: shipped("large")}, facts: plan.Facts{Catalog: packages(holds(large, 1, false)), Policy: plan.Policy{InstallForChildren: true, Holds: []plan.Hold{{Package: "large"}}}}, reason: reason.Policy, message: "must not be installed"},
	} {
		c.child.Modalias = rdma
		got := plan.DecideChild(hwdetect.Device{Slot: hwdetect.Slot{Bus: 1}, Driver: "mlx5_core"}, plan.Want{State: plan.Bound, Packages: []string{own}}, c.child, c.facts)
		if got.Action != c.action || got.Reason != c.reason || (got.Message == "") != (c.message == "") || !strings.Contains(got.Message, c.message) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// Packages are found by their Provides for the buses of children alone, and a pattern
// of no bus claims nothing.
func TestChildPackages(t *testing.T) {
	t.Parallel()
	found := plan.ChildPackages([]plan.Package{
		{NEVRA: "a", Provides: []string{"modalias(auxiliary:mlx5_core.rdma)", "modalias(*)", "modalias(pci:*)", "kmod(mlx5_ib.ko)"}},
		{NEVRA: "b", Provides: []string{"modalias(auxiliary:mlx5_core.*) = 1", "modalias(auxiliary:mlx5_core.rdma)", "modalias()"}},
	}, []string{"auxiliary:mlx5_core.rdma", "usb:v1"})
	if len(found) != 1 || strings.Join(found["auxiliary:mlx5_core.rdma"], " ") != "a b" {
		t.Errorf("%v", found)
	}
}
