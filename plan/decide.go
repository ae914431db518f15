// SPDX-License-Identifier: Apache-2.0

// Package plan decides what should happen to a device, and says why. It is
// pure: no I/O, no clock, no memory; the same facts give the same want.
package plan

import (
	"fmt"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/kernelbuild"
	"driverd/reason"
)

// Action is what the engine has to do for a device now.
type Action int

// The actions.
const (
	Nothing Action = iota // the state says it all
	Learn                 // the catalog of the running kernel is needed first
	Install               // the packages are missing
	Load                  // the modules are installed and wait to be loaded
	Await                 // the driver is in the kernel and binds by itself, if at all
)

// String returns the word that stands for the action on D-Bus.
func (a Action) String() string {
	return [...]string{Nothing: "none", Learn: "learn", Install: "install", Load: "load", Await: "await"}[a]
}

// Kernel knows the modules of the running kernel.
type Kernel interface {
	// Claims returns what a source says about a device, for all sources but the catalog.
	Claims(source hwdetect.Source, modalias string) []hwdetect.Claim
	// Installed returns the installed modules that claim modalias, each once.
	Installed(modalias string) []string
	// Problem is why an index that came with the kernel cannot be read, nil if none
	// did, or it can.
	Problem() error
}

// Facts is all that a want rests on, the device apart.
type Facts struct {
	Release string // of the running kernel, as uname -r prints it
	Kernel  Kernel
	Catalog *Catalog // nil until it has been learned

	// CatalogProblem is why the catalog could not be learned, or only in
	// part; nil if all is well. It carries a reason.
	CatalogProblem error

	// Doubtful says that what the catalog lacks may have come since it was learned: it
	// is to be learned anew before anything is said to be missing.
	Doubtful bool

	// Disabled are repositories that were not asked for the catalog.
	Disabled []string

	// Incomplete are packages that are installed, and may not be whole: an earlier
	// boot has not finished it.
	Incomplete []string

	Tried Tried // for this device

	// Unbound says that this device had its driver in this stay, and that somebody has
	// taken it away.
	Unbound bool

	// Vendors are the drivers from outside the kernel's build that are known, and Offers what
	// there is of them, by their names, as far as that is known.
	Vendors []Vendor
	Offers  map[string]VendorOffer

	Law     Law // nil forbids nothing
	Policy  Policy
	Observe bool // only say what would be done
	Asked   bool // somebody has named this device: what is left alone unasked is brought

	// PolicyProblem is why the policy may lack something, nil if it does not.
	PolicyProblem error
}

// Want is what one device needs, and why: packages to install, packages to make
// whole, firmware to come along, a driver to load, or nothing.
type Want struct {
	Action   Action
	State    State
	Reason   reason.Reason
	Message  string   // one sentence for a person, with the way out
	Modules  []string // that claim the device, as far as known
	Packages []string // NEVRAs that hold them, as far as known

	// ForChildren are packages to be installed beside these for children that the device does
	// not have yet. It does not wait for them.
	ForChildren []string

	// Incomplete are those of the packages that are to be made whole before anything
	// is loaded from them.
	Incomplete []string

	Group    string   // of those packages, empty if unknown
	Vendor   string   // whose driver this is about; empty if it is the kernel's
	Firmware []string // files that the modules to be installed may ask for, as far as known
}

// Decide says what should happen to a device: what it needs, if the policy and
// the mode allow it.
func Decide(d hwdetect.Device, f Facts) Want {
	want := f.offerVendors(d, f.apply(d, f.need(d)))
	if want.Action == Load {
		for _, nevra := range want.Packages {
			if slices.Contains(f.Incomplete, nevra) {
				want.Incomplete = append(want.Incomplete, nevra)
			}
		}
	}
	return want
}

// need asks in a fixed order what the device needs; the first answer wins.
func (f Facts) need(d hwdetect.Device) Want {
	if d.Driver != "" {
		return f.describe(d, Want{State: Bound, Message: f.held(d)})
	}
	if d.DriverOverride != "" {
		return stop(reason.DriverOverride,
			"driver_override reserves this device for %q; write an empty line to /sys/bus/pci/devices/%s/driver_override to release it",
			d.DriverOverride, d.Slot)
	}
	if d.ProbeOff {
		return stop(reason.DriverOverride,
			"0 in /sys/bus/pci/devices/%s/sriov_drivers_autoprobe keeps this virtual function without a driver; to have one, write 1 there, and then %s to /sys/bus/pci/drivers_probe",
			d.PhysFn, d.Slot)
	}
	if f.Unbound {
		return f.describe(d, stop(reason.Unbound,
			"it has lost its driver: somebody has unbound it or removed the module, or the driver has given up; to bind it again: driverd rescan, or, while the module is loaded, write %s to /sys/bus/pci/drivers_probe",
			d.Slot))
	}
	if d.Modalias == "" {
		return stop(reason.NoDriver, "the kernel gives this device no identity that a driver could be found by: %v", d.Problem)
	}
	if v, ok := f.EnabledFor(d); ok {
		if want, ok := f.ofVendor(d, v); ok {
			return want
		}
	}
	if f.Law != nil {
		if want, forbidden := f.forbidden(d); forbidden {
			return want
		}
		f.Kernel = permitted{f.Kernel, f.Law}
	}
	return f.byClaims(d)
}

// byClaims goes by the best claim that has not been tried.
func (f Facts) byClaims(d hwdetect.Device) Want {
	onGuest := f.onGuest(d.Modalias)
	untried, tried := f.Tried.divide(onGuest)
	if c, ok := best(untried); ok && c.specificity() == modalias.OfProduct {
		return f.here(d, c, onGuest) // no other source has a better one
	}
	indexes := ofBuild
	if modalias.IsAny(d.Modalias) || f.Catalog.needsIndex() {
		indexes = allIndexes
	}
	elsewhere := f.elsewhere(d.Modalias, onGuest, indexes)
	left := relevant(d.Modalias, slices.Concat(untried, elsewhere))
	if tries := ambiguous(d.Modalias, left); tries != "" {
		return f.dependsOnClass(tries)
	}
	c, ok := best(slices.DeleteFunc(left, func(c candidate) bool { return !f.leads(c) }))
	switch {
	case !ok:
		return f.exhausted(d, tried, elsewhere)
	case c.onGuest():
		return f.here(d, c, onGuest)
	default:
		return f.bring(d, c, onGuest)
	}
}

// dependsOnClass decides about a product of whose devices only the class says which of
// several drivers is for them.
func (f Facts) dependsOnClass(tries string) Want {
	want := stop(reason.NoPackage,
		"which driver is for a device of this product depends on its class (%s): ask with its slot or its modalias", tries)
	if f.Catalog == nil && f.CatalogProblem == nil {
		return Want{Action: Learn, State: Pending, Message: want.Message}
	}
	return want
}

// here decides about a device whose driver is on this guest.
func (f Facts) here(d hwdetect.Device, c candidate, onGuest []candidate) Want {
	want := Want{
		Action: Load, State: Pending,
		Modules: modules(onGuest, func(other candidate) bool { return other.Source == c.Source }),
	}
	if c.Source == hwdetect.BuiltIn {
		if Chipset(d.Class) {
			return stop(reason.Policy, "this is a part of the virtual machine itself, which works without a driver")
		}
		want.Action = Await
	}
	return f.describe(d, want)
}

// bring decides about a device whose driver is in a package.
func (f Facts) bring(d hwdetect.Device, c candidate, onGuest []candidate) Want {
	p, elsewhere := *c.holder, f.elsewhere(d.Modalias, onGuest, allIndexes)
	comes := func(other candidate) bool {
		if other.holder == nil {
			return other.Source == hwdetect.Shipped || other.Alias == c.Alias
		}
		return other.holder.NEVRA == p.NEVRA
	}
	want := f.install([]Holder{p})
	installed := func(other candidate) bool { return other.Source == hwdetect.Installed }
	want.Modules = slices.Concat(modules(onGuest, installed), modules(elsewhere, comes)) // modprobe loads both
	want.Firmware = firmware(elsewhere, comes)
	want.ForChildren = f.forChildren(d, want)
	if why := leftAlone(d, p.Group); why != "" && !f.Asked {
		what := d.Modalias
		if hasSlot(d) {
			what = d.Slot.String()
		}
		return want.block(reason.Policy, "%s: %s is not installed for it; to install it: driverd install %s", why, p.NEVRA, what)
	}
	return want
}

// exhausted decides about a device with no claim left that anything can be done about.
// It is failed if a driver that knows it was tried, or one said why it does not take it:
// what that was, the last try shows. Else it is unsupported: a driver that claims all
// devices of a vendor or a class need not know each of them.
func (f Facts) exhausted(d hwdetect.Device, tried, elsewhere []candidate) Want {
	installed := slices.DeleteFunc(slices.Clone(tried), func(c candidate) bool { return c.Source != hwdetect.Installed })
	if c, ok := best(installed); ok && !f.Tried.Silent {
		return f.here(d, c, tried)
	}
	every := func(candidate) bool { return true }
	want := f.unknown("no package of kernel %s has a driver for this device", f.Release)
	if c, ok := best(tried); ok {
		if c.specificity() == modalias.OfProduct || c.Source == hwdetect.BuiltIn && Chipset(d.Class) {
			return f.here(d, c, tried)
		}
		kind := map[modalias.Specificity]string{modalias.OfVendor: "vendor", modalias.OfClass: "class"}[c.specificity()]
		want = f.unknown("no driver is known for this device: %s, for all devices of its %s, has not taken it, and kernel %s has no other",
			strings.Join(modules(tried, every), ", "), kind, f.Release)
	}
	homeless := slices.DeleteFunc(slices.Clone(elsewhere), func(c candidate) bool { return c.holder != nil })
	if r := want.Reason; len(homeless) > 0 && (r == reason.NoDriver || r == reason.NoPackage && f.Catalog != nil && f.Catalog.ofBuild) {
		want = stop(reason.NoPackage,
			"%s would drive this device, but no package of kernel %s in the repositories says that it holds it (no such kmod() among their Provides)",
			strings.Join(modules(homeless, every), " or "), f.Release)
	}
	want.Modules, want.Firmware = modules(homeless, every), firmware(homeless, every)
	if len(homeless) > 0 && slices.Contains(kernelbuild.Groups(), homeless[0].Module.Group) {
		want.Group = homeless[0].Module.Group
	}
	return want
}

// Chipset says whether a device of this class is likely to belong to the
// mainboard that the hypervisor emulates. Every q35 guest has an LPC bridge, and
// every i440FX guest an ACPI function, whose drivers would draw in the largest
// subpackage for nothing. A bridge that is passed through all the same (NTB) has
// its driver in another group.
// Classes: PCI_BASE_CLASS_BRIDGE, PCI_CLASS_SERIAL_SMBUS (linux/pci_ids.h).
func Chipset(class uint32) bool {
	return class>>16 == 0x06 || class>>8 == 0x0c05
}

// sideFunction says whether a device is likely to be there because of another function
// of its card: the sound of a graphics card, its USB controller and what manages that
// one's power.
// Classes: PCI_BASE_CLASS_MULTIMEDIA, PCI_CLASS_SERIAL_USB, and 0c80, which has no name.
func sideFunction(d hwdetect.Device) bool {
	return d.Slot.Function != 0 && d.PhysFn == nil && (d.Class>>16 == 0x04 || d.Class>>8 == 0x0c03 || d.Class>>8 == 0x0c80)
}

// leftAlone says why a package of a group is not installed for a device unless somebody
// asks for it, empty if it is.
func leftAlone(d hwdetect.Device, group string) string {
	switch {
	case Chipset(d.Class) && (group == kernelbuild.Base || group == kernelbuild.Hardware):
		return "this is a part of the virtual machine itself, which works without a driver"
	case sideFunction(d) && group == kernelbuild.Hardware:
		return "this is a side function of a card, which works without it"
	}
	return ""
}

// install decides about a device whose driver is in packages.
func (f Facts) install(packages []Holder) Want {
	if hidden := onlyExcluded(packages); len(hidden) > 0 {
		return excluded(hidden)
	}
	d := Want{Action: Install, State: Pending, Group: packages[0].Group}
	for _, p := range packages {
		if p.offered() {
			d.Packages = append(d.Packages, p.NEVRA)
		}
	}
	if len(d.Packages) > 0 {
		return d
	}
	d.Action = Load // a scriptlet was cut short, and the load step can do without depmod
	for _, p := range packages {
		d.Packages = append(d.Packages, p.NEVRA)
	}
	return d
}

// describe adds what is known about the driver of a device that needs no package.
func (f Facts) describe(d hwdetect.Device, want Want) Want {
	if d.Modalias == "" {
		return want
	}
	if want.Modules == nil {
		want.Modules = f.Kernel.Installed(d.Modalias)
	}
	if len(want.Modules) == 0 { // loaded before depmod has indexed it
		for _, c := range f.Kernel.Claims(hwdetect.Shipped, d.Modalias) {
			if !slices.Contains(want.Modules, c.Module.Name) {
				want.Modules = append(want.Modules, c.Module.Name)
			}
		}
	}
	for _, p := range f.Catalog.holders(want.Modules) {
		want.Packages = append(want.Packages, p.NEVRA)
		want.Group = p.Group
	}
	return want
}

// firmware returns the files that the modules of claims that are wanted may ask for.
func firmware(all []candidate, wanted func(candidate) bool) []string {
	var names, files []string
	for _, c := range all {
		if wanted(c) && !slices.Contains(names, c.Module.Name) {
			names = append(names, c.Module.Name)
			files = append(files, c.Module.Firmware...)
		}
	}
	return files
}

func stop(r reason.Reason, format string, args ...any) Want {
	return Want{State: StateOf(r), Reason: r, Message: strings.TrimSpace(fmt.Sprintf(format, args...))}
}
