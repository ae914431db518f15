// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
	"driverd/reason"
)

// Vendor is a driver from outside the kernel's build, as a drop-in describes it; see
// driverd.toml(5). The names of packages have no version; a * at their end stands for
// the rest.
type Vendor struct {
	Name        string // of the drop-in
	Enabled     bool   // root has written so
	Description string // what a person calls it: "NVIDIA's own driver"
	Licence     string

	Match   []string // modalias patterns, each of which names a vendor, or ids as a Rule has them
	Classes []string // as a Rule has them; empty for all
	Except  []string // as Match

	Kmods      []string // packages with the modules, or the modalias() capability of those
	Build      bool     // packages that compile the modules in the guest will do
	Modules    []string // that drive the devices
	Key        string   // a part of the description of the key that has signed them, if it is known
	Companions []string // packages that are installed with the modules
	Depends    []string // packages that may come along
	Conflicts  []string // modules of the kernel that are kept away

	Node    string   // a file that is there when the driver works
	Command []string // that then exits with 0, run by a user without rights

	Origin Origin
}

// VendorOffer is what there is of a vendor's driver for one kernel.
type VendorOffer struct {
	Packages []Package // with the modules, made for this kernel, and their companions; none if there are no such modules
	Refused  []string  // sentences: which packages with the modules are not for this kernel, and why
	Problem  error     // why the repositories could not be asked, with a reason
}

// Kmod returns the package with the modules; not ok if there is none.
func (o VendorOffer) Kmod() (Package, bool) {
	if len(o.Packages) == 0 {
		return Package{}, false
	}
	return o.Packages[0], true
}

// maxRefused is how many packages that are not for the kernel a text names.
const maxRefused = 3

// refusals are sentences about some of the packages that are not for the kernel.
func (o VendorOffer) refusals() []string {
	if more := len(o.Refused) - maxRefused; more > 0 {
		return append(slices.Clone(o.Refused[:maxRefused]), fmt.Sprintf("and %d more", more))
	}
	return o.Refused
}

// Drives says whether the driver is for a device. The class of a product that somebody
// asks about is not known, and does not count.
func (v Vendor) Drives(d hwdetect.Device) bool {
	is := func(pattern string) bool { return hasID(d, pattern) || modalias.Match(pattern, d.Modalias) }
	ofClass := func(class string) bool { return hasClass(d, class) }
	return slices.ContainsFunc(v.Match, is) && !slices.ContainsFunc(v.Except, is) &&
		(len(v.Classes) == 0 || modalias.IsAny(d.Modalias) || slices.ContainsFunc(v.Classes, ofClass))
}

// IsKmod says whether a package of this name has the modules.
func (v Vendor) IsKmod(name string) bool { return namesPackage(v.Kmods, name) }

// Names says whether the drop-in names a package.
func (v Vendor) Names(name string) bool {
	return v.IsKmod(name) || namesPackage(v.Companions, name) || namesPackage(v.Depends, name)
}

func namesPackage(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return modalias.Match(pattern, name) })
}

// VendorsFor are the drivers from outside the build that are for a device: the enabled one
// alone if there is one, else those first of which there are modules for this kernel.
func (f Facts) VendorsFor(d hwdetect.Device) []Vendor {
	var all []Vendor
	for _, v := range f.Vendors {
		switch {
		case d.Modalias == "" || !v.Drives(d):
		case v.Enabled:
			return []Vendor{v}
		default:
			all = append(all, v)
		}
	}
	offered := func(v Vendor) int {
		if _, ok := f.Offers[v.Name].Kmod(); ok {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b Vendor) int { return cmp.Compare(offered(a), offered(b)) })
	return all
}

// EnabledFor returns the enabled vendor's driver for a device.
func (f Facts) EnabledFor(d hwdetect.Device) (Vendor, bool) {
	all := f.VendorsFor(d)
	if len(all) == 0 || !all[0].Enabled {
		return Vendor{}, false
	}
	return all[0], true
}

// ofVendor decides about a device that an enabled vendor's driver is for; not ok means that
// its modules are on this guest, and the device is one as any other.
func (f Facts) ofVendor(d hwdetect.Device, v Vendor) (want Want, ok bool) {
	offer, learned := f.Offers[v.Name]
	kmod, found := offer.Kmod()
	switch {
	case found && kmod.Installed:
		return Want{}, false
	case !learned:
		want = Want{Action: Learn, State: Pending}
	case !found && f.HasModule(d, v): // which DKMS, or an installer of the vendor's, has put there
		return Want{}, false
	case found:
		want = Want{Action: Install, State: Pending}
		for _, p := range offer.Packages {
			if !p.Installed {
				want.Packages = append(want.Packages, p.NEVRA)
			}
		}
	case offer.Problem != nil:
		want = stop(reason.Of(offer.Problem), "cannot learn which package of %s is for kernel %s: %v", v.Name, f.Release, offer.Problem)
	case len(offer.Refused) > 0:
		want = stop(reason.NoPackage, "%s has no package for kernel %s: %s", v.Name, f.Release, strings.Join(offer.refusals(), "; "))
	default:
		want = stop(reason.NoPackage, "%s has no package for kernel %s: no repository has one of %s", v.Name, f.Release, strings.Join(v.Kmods, ", "))
	}
	want.Vendor, want.Modules = v.Name, v.Modules
	return want, true
}

// HasModule says whether one of the vendor's modules is there for the kernel and claims the device.
func (f Facts) HasModule(d hwdetect.Device, v Vendor) bool {
	return slices.ContainsFunc(f.Kernel.Installed(d.Modalias), func(m string) bool { return slices.Contains(v.Modules, m) })
}

// offerVendors turns what was decided about a device for which the kernel has no driver that
// may be used into the offer of a vendor's.
func (f Facts) offerVendors(d hwdetect.Device, want Want) Want {
	switch want.Reason {
	case reason.NoDriver, reason.NoPackage, reason.Policy, reason.Blacklisted:
	default:
		return want
	}
	all := f.VendorsFor(d)
	if len(all) == 0 || all[0].Enabled {
		return want
	}
	if r := f.rule(d, Want{Modules: all[0].Modules}); r != nil && !r.Allow {
		return want // which denies the vendor's as well
	}
	v := all[0]
	text := fmt.Sprintf("%s would drive it: driverd vendor enable %s", v.Description, v.Name)
	if len(all) > 1 {
		var others []string
		for _, other := range all[1:] {
			others = append(others, other.Name)
		}
		text += "; or, from elsewhere, " + strings.Join(others, ", ")
	}
	if kmod, ok := f.Offers[v.Name].Kmod(); ok {
		size := int64(0)
		for _, p := range f.Offers[v.Name].Packages {
			size += p.DownloadSize
		}
		text += fmt.Sprintf("; %s, %.1f MB with what belongs to it", kmod.NEVRA, float64(size)/1e6)
		if kmod.Repo != "" {
			text += ", in repository " + kmod.Repo
		}
	}
	no := want.block(reason.VendorDriver, "%s", text)
	no.Vendor = v.Name
	return no
}

// VendorNote is what is known about a vendor's driver for a device.
type VendorNote struct {
	Name    string
	Enabled bool
	Texts   []string // a sentence each: what it is, and what there is of it
}

// vendorNotes are about all vendors' drivers for a device.
func (f Facts) vendorNotes(d hwdetect.Device) []VendorNote {
	var all []VendorNote
	for _, v := range f.Vendors {
		if !v.Drives(d) {
			continue
		}
		texts := []string{v.Description}
		offer, learned := f.Offers[v.Name]
		for _, p := range offer.Packages {
			text := p.NEVRA
			switch {
			case p.Installed:
				text += " is installed"
			case p.Repo != "":
				text += " is in repository " + p.Repo
			}
			texts = append(texts, text)
		}
		texts = append(texts, offer.refusals()...)
		if offer.Problem != nil {
			texts = append(texts, offer.Problem.Error())
		} else if learned && len(texts) == 1 {
			texts = append(texts, "no repository has one of "+strings.Join(v.Kmods, ", "))
		}
		all = append(all, VendorNote{v.Name, v.Enabled, texts})
	}
	return all
}

// held is what to say of a device whose driver keeps an enabled vendor's from it.
func (f Facts) held(d hwdetect.Device) string {
	v, ok := f.EnabledFor(d)
	if !ok || !slices.Contains(v.Conflicts, kernelbuild.ModuleName(d.Driver)) {
		return ""
	}
	return fmt.Sprintf("%s is enabled, and %s holds this device: driverd takes no device from its driver, reboot to have it driven by %s", v.Name, d.Driver, v.Name)
}
