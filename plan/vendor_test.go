// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// A device that a vendor's driver is for, by what is known of it.
func TestVendor(t *testing.T) {
	t.Parallel()
	const kmod, tool, nouveau = "kmod-card-2-1.x86_64", "card-tool-2-1.x86_64", "nouveau"
	card := hwdetect.Device{Slot: hwdetect.Slot{Bus: 1}, Vendor: 0x10de, Product: 0x1eb8, Class: 0x030200, Modalias: "pci:v000010DEd00001EB8sv000010DEsd000012A2bc03sc02i00"}
	vendor := plan.Vendor{
		Name: "card", Description: "Its maker's driver", Match: []string{"pci:v000010DEd00001E*"}, Classes: []string{"03"},
		Kmods: []string{"kmod-card*"}, Modules: []string{"card"}, Conflicts: []string{nouveau},
	}
	enabled := vendor
	enabled.Enabled = true
	other := vendor
	other.Name = "a-card"
	offer := func(installed bool) map[string]plan.VendorOffer {
		return map[string]plan.VendorOffer{"card": {
			Packages: []plan.Package{{NEVRA: kmod, Repo: "maker", Installed: installed, DownloadSize: 2e6}, {NEVRA: tool, Repo: "maker", DownloadSize: 1e6}},
		}}
	}
	away := plan.Policy{Rules: []plan.Rule{{Modules: []string{nouveau}, Origin: from(3)}}}
	inTree := kernel{installed: map[string][]string{card.Modalias: {nouveau}}}
	both := kernel{installed: map[string][]string{card.Modalias: {nouveau, "card"}}}
	held := card
	held.Driver = nouveau
	none := plan.NewCatalog(packages())
	for name, c := range map[string]struct {
		device  hwdetect.Device
		facts   plan.Facts
		action  plan.Action
		state   plan.State
		reason  reason.Reason
		message string // a part of it
		want    []string
	}{
		"the kernel has none": {
			facts: plan.Facts{Kernel: kernel{}, Catalog: none, Vendors: []plan.Vendor{vendor}},
			state: plan.Blocked, reason: reason.VendorDriver, message: "Its maker's driver would drive it: driverd vendor enable card",
		},
		"the kernel's is denied": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{vendor}, Policy: away},
			state: plan.Blocked, reason: reason.VendorDriver, message: "driverd vendor enable card",
		},
		"the kernel's is blacklisted": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{vendor}, Law: denies(nouveau)},
			state: plan.Blocked, reason: reason.VendorDriver, message: "driverd vendor enable card",
		},
		"with what there is": {
			facts: plan.Facts{Kernel: kernel{}, Catalog: none, Vendors: []plan.Vendor{other, vendor}, Offers: offer(false)},
			state: plan.Blocked, reason: reason.VendorDriver, message: "driverd vendor enable card; or, from elsewhere, a-card; " + kmod + ", 3.0 MB with what belongs to it, in repository maker",
		},
		"the kernel's is welcome": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{vendor}, Offers: offer(false)}, action: plan.Load, state: plan.Pending,
		},
		"all is denied": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{vendor}, Policy: plan.Policy{Rules: []plan.Rule{{Origin: from(3)}}}},
			state: plan.Blocked, reason: reason.Policy,
		},
		"another device": {
			device: hwdetect.Device{Modalias: edu}, facts: plan.Facts{Kernel: kernel{}, Catalog: none, Vendors: []plan.Vendor{enabled}},
			state: plan.Unsupported, reason: reason.NoDriver,
		},
		"enabled, and not asked for": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{other, enabled}}, action: plan.Learn, state: plan.Pending,
		},
		"enabled": {
			facts:  plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{other, enabled}, Offers: offer(false)},
			action: plan.Install, state: plan.Pending, want: []string{kmod, tool},
		},
		"enabled, whatever is kept away": {
			facts:  plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{enabled}, Offers: offer(false), Policy: away, Law: denies(nouveau)},
			action: plan.Install, state: plan.Pending, want: []string{kmod, tool},
		},
		"enabled, and only observed": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{enabled}, Offers: offer(false), Observe: true},
			state: plan.Blocked, reason: reason.ObserveOnly, message: "install " + kmod, want: []string{kmod, tool},
		},
		"enabled and installed": {
			facts: plan.Facts{Kernel: both, Catalog: none, Vendors: []plan.Vendor{enabled}, Offers: offer(true), Law: denies(nouveau)}, action: plan.Load, state: plan.Pending,
		},
		"enabled, for another kernel alone": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Release: release, Vendors: []plan.Vendor{enabled}, Offers: map[string]plan.VendorOffer{"card": {Refused: []string{"kmod-card-1-1.x86_64 is made for kernel 6"}}}},
			state: plan.Unavailable, reason: reason.NoPackage, message: "card has no package for kernel " + release + ": kmod-card-1-1.x86_64 is made for kernel 6",
		},
		"enabled, and nowhere": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{enabled}, Offers: map[string]plan.VendorOffer{"card": {}}},
			state: plan.Unavailable, reason: reason.NoPackage, message: "no repository has one of kmod-card*",
		},
		"enabled, and nobody can be asked": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{enabled}, Offers: map[string]plan.VendorOffer{"card": {Problem: reason.With(reason.RepoUnreachable, errors.New("away"))}}},
			state: plan.Unavailable, reason: reason.RepoUnreachable, message: "away",
		},
		"which does not matter, as its module is here": {
			facts:  plan.Facts{Kernel: both, Catalog: none, Vendors: []plan.Vendor{enabled}, Law: denies(nouveau), Offers: map[string]plan.VendorOffer{"card": {Problem: reason.With(reason.RepoUnreachable, errors.New("away"))}}},
			action: plan.Load, state: plan.Pending,
		},
		"nor that none is for this kernel": {
			facts:  plan.Facts{Kernel: both, Catalog: none, Vendors: []plan.Vendor{enabled}, Law: denies(nouveau), Offers: map[string]plan.VendorOffer{"card": {Refused: []string{"it compiles"}}}},
			action: plan.Load, state: plan.Pending,
		},
		"enabled, for many other kernels": {
			facts: plan.Facts{Kernel: inTree, Catalog: none, Release: release, Vendors: []plan.Vendor{enabled}, Offers: map[string]plan.VendorOffer{"card": {Refused: []string{"a", "b", "c", "d", "e"}}}},
			state: plan.Unavailable, reason: reason.NoPackage, message: "card has no package for kernel " + release + ": a; b; c; and 2 more",
		},
		"enabled, and the kernel's holds it": {
			device: held, facts: plan.Facts{Kernel: inTree, Catalog: none, Vendors: []plan.Vendor{enabled}, Offers: offer(false)},
			state: plan.Bound, message: "card is enabled, and nouveau holds this device: driverd takes no device from its driver, reboot",
		},
	} {
		if c.device.Modalias == "" {
			c.device = card
		}
		got := plan.Decide(c.device, c.facts)
		if got.Action != c.action || got.State != c.state || got.Reason != c.reason || !strings.Contains(got.Message, c.message) || c.want != nil && !slices.Equal(got.Packages, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Which devices a driver is for.
func TestVendorDrives(t *testing.T) {
	t.Parallel()
	v := plan.Vendor{Match: []string{"10de:*", "pci:v00001234d*"}, Classes: []string{"03"}, Except: []string{"10de:1234"}}
	for device, want := range map[string]bool{
		"pci:v000010DEd00001EB8sv00000000sd00000000bc03sc02i00": true,
		"pci:v000010DEd00001234sv00000000sd00000000bc03sc02i00": false,
		"pci:v000010DEd00001EB8sv00000000sd00000000bc04sc03i00": false,
		"pci:v00001234d00001111sv00000000sd00000000bc03sc00i00": true,
		"pci:v00008086d00001111sv00000000sd00000000bc03sc00i00": false,
		"10de:1eb8": true, // of which the class is not known
		"8086:1eb8": false,
	} {
		subject, err := plan.ParseSubject(device)
		if err != nil || v.Drives(subject.Device) != want {
			t.Errorf("%s: %v, %v", device, !want, err)
		}
	}
}

// An explanation says all that is known.
func TestExplainVendor(t *testing.T) {
	t.Parallel()
	d := hwdetect.Device{Vendor: 0x1234, Product: 0x11e8, Modalias: edu}
	v := plan.Vendor{Name: "edu", Description: "The lab's driver", Match: []string{"1234:11e8"}, Kmods: []string{"kmod-edu"}, Modules: []string{"edu"}}
	f := plan.Facts{Kernel: kernel{}, Catalog: catalog(), Vendors: []plan.Vendor{v}}
	for _, c := range []struct {
		offers map[string]plan.VendorOffer
		want   string
	}{
		{nil, "The lab's driver"},
		{map[string]plan.VendorOffer{"edu": {}}, "The lab's driver|no repository has one of kmod-edu"},
		{map[string]plan.VendorOffer{"edu": {Packages: []plan.Package{{NEVRA: "kmod-edu-1-1.x86_64", Repo: "lab"}}, Refused: []string{"akmod-edu compiles"}}}, "The lab's driver|kmod-edu-1-1.x86_64 is in repository lab|akmod-edu compiles"},
	} {
		f.Offers = c.offers
		got := plan.Explain(d, f).Vendors
		if len(got) != 1 || got[0].Enabled || strings.Join(got[0].Texts, "|") != c.want {
			t.Errorf("%+v, want %s", got, c.want)
		}
	}
}
