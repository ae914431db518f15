// SPDX-License-Identifier: Apache-2.0

// Package plan decides what should happen to a device, and says why. It is
// pure: no I/O, no clock, no memory; the same facts give the same want.
package plan

import (
	"fmt"
	"slices"
	"strings"

	"driverd/hwdetect"
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

// Kernel knows the modules of the running kernel that are on this guest.
type Kernel interface {
	// BuiltIn returns the built-in modules that claim modalias.
	BuiltIn(modalias string) []string
	// Installed returns the installed modules that claim modalias.
	Installed(modalias string) []string
	// Shipped returns the modules of the kernel's whole build that claim
	// modalias, if it came with an index of them.
	Shipped(modalias string) []hwdetect.Module
	// Claims returns the aliases that the others go by.
	Claims(modalias string) []hwdetect.Claim
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

	Law     Law // nil forbids nothing
	Policy  Policy
	Observe bool // only say what would be done

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

	// Incomplete are those of the packages that are to be made whole before anything
	// is loaded from them.
	Incomplete []string

	Group    string   // of those packages, empty if unknown
	Firmware []string // files that the modules to be installed may ask for, as far as known
}

// Decide says what should happen to a device: what it needs, if the policy and
// the mode allow it.
func Decide(d hwdetect.Device, f Facts) Want {
	want := f.apply(d, f.need(d))
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
		return f.describe(d, Want{State: Bound})
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
	if d.Modalias == "" {
		return stop(reason.NoDriver, "the kernel gives this device no identity that a driver could be found by: %v", d.Problem)
	}
	if f.Law != nil {
		if want, forbidden := f.forbidden(d); forbidden {
			return want
		}
		f.Kernel = permitted{f.Kernel, f.Law}
	}
	if modules := f.Kernel.BuiltIn(d.Modalias); len(modules) > 0 {
		if Chipset(d.Class) {
			return stop(reason.Policy, "this is a part of the virtual machine itself, which works without a driver")
		}
		return f.describe(d, Want{Action: Await, State: Pending, Modules: modules})
	}
	if modules := f.Kernel.Installed(d.Modalias); len(modules) > 0 {
		return f.describe(d, Want{Action: Load, State: Pending})
	}
	return f.toInstall(d)
}

// toInstall decides about a device that nothing on this guest can drive. What
// could, the index that came with the kernel says, whatever the repositories do.
func (f Facts) toInstall(d hwdetect.Device) Want {
	shipped := f.Kernel.Shipped(d.Modalias)
	var modules, firmware []string
	for _, m := range shipped {
		modules = append(modules, m.Name)
		firmware = append(firmware, m.Firmware...)
	}
	want := f.fromCatalog(d, modules)
	want.Modules, want.Firmware = modules, firmware
	if want.Group == "" && len(shipped) > 0 && slices.Contains(kernelbuild.Groups(), shipped[0].Group) {
		want.Group = shipped[0].Group
	}
	return want
}

// fromCatalog decides by what the repositories say: which packages claim the
// device, else which hold the modules that are known to.
func (f Facts) fromCatalog(d hwdetect.Device, modules []string) Want {
	if f.Catalog != nil {
		packages := f.Catalog.match(d.Modalias)
		if len(packages) == 0 {
			packages = f.Catalog.holders(modules)
		}
		if len(packages) > 0 {
			if group := packages[0].Group; Chipset(d.Class) && (group == kernelbuild.Base || group == kernelbuild.Hardware) {
				return stop(reason.Policy,
					"this is a part of the virtual machine itself, which works without a driver: %s is not installed for it", packages[0].NEVRA)
			}
			return f.install(packages)
		}
	}
	want := f.unknown("no package of kernel %s has a driver for this device", f.Release)
	if r := want.Reason; len(modules) > 0 && (r == reason.NoDriver || r == reason.NoPackage && f.Catalog.ofBuild) {
		return stop(reason.NoPackage,
			"%s would drive this device, but no package of kernel %s in the repositories says that it holds it (no such kmod() among their Provides)",
			strings.Join(modules, " or "), f.Release)
	}
	return want
}

// unknown decides about what no package of the catalog answers to. It is told
// what to say if the catalog has all there is.
func (f Facts) unknown(format string, args ...any) Want {
	if f.CatalogProblem == nil && (f.Catalog == nil || f.Doubtful) {
		return Want{Action: Learn, State: Pending}
	}
	if f.CatalogProblem != nil {
		r := reason.Of(f.CatalogProblem)
		if r == reason.None {
			r = reason.TransactionFailed
		}
		return stop(r, "cannot learn which package holds the driver: %v", f.CatalogProblem)
	}
	switch c, foreign := f.Catalog, f.Foreign(); {
	case foreign != nil:
		return stop(reason.ForeignKernel, "%v", foreign)
	case !c.ofBuild:
		return stop(reason.NoPackage,
			"the packages of kernel %s do not say for which kernel they are made (no *-uname-r among their Provides): "+
				"install the one with the driver yourself, and driverd loads it", f.Release)
	case len(c.NEVRAs()) == 0 && c.Excludes():
		want := excluded(c.excluded())
		want.Packages, want.Group = nil, "" // whether one of them is for the device is not known
		return want
	case len(c.NEVRAs()) == 0:
		return stop(reason.StaleKernel, "the repositories no longer carry kernel %s: enable an archive repository%s, or reboot into the newest installed kernel",
			f.Release, f.disabled())
	case c.patterns == 0:
		return stop(reason.NoPackage,
			"the repositories' packages of kernel %s do not say which devices they drive (no modalias() among their Provides)", f.Release)
	default:
		return stop(reason.NoDriver, format, args...)
	}
}

// Foreign is why no device can be helped if the running kernel belongs to no
// package: the host has brought it. It is nil while that is not certain.
func (f Facts) Foreign() error {
	if f.Catalog == nil || f.CatalogProblem != nil || len(f.Catalog.packages) > 0 {
		return nil
	}
	return reason.With(reason.ForeignKernel,
		fmt.Errorf("the running kernel %s belongs to no package: its modules must come from where it came from", f.Release))
}

// disabled names the repositories that were not asked.
func (f Facts) disabled() string {
	if len(f.Disabled) == 0 {
		return ""
	}
	return fmt.Sprintf(" or one that is disabled (%s: dnf5 config-manager setopt NAME.enabled=1)", strings.Join(f.Disabled, ", "))
}

// onlyExcluded returns those of the packages that DNF's configuration hides, if none of
// the others is installed, or can be.
func onlyExcluded(packages []Holder) []Holder {
	if slices.ContainsFunc(packages, func(p Holder) bool { return p.offered() || p.Installed }) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(packages), func(p Holder) bool { return !p.Excluded })
}

// excluded decides about packages that DNF's configuration hides.
func excluded(packages []Holder) Want {
	want := stop(reason.Excluded, "DNF's configuration excludes %s: allow it there (excludepkgs= or includepkgs= in /etc/dnf/dnf.conf, or of repository %s)",
		packages[0].NEVRA, packages[0].Repo)
	want.Group = packages[0].Group
	for _, p := range packages {
		want.Packages = append(want.Packages, p.NEVRA)
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
		for _, m := range f.Kernel.Shipped(d.Modalias) {
			want.Modules = append(want.Modules, m.Name)
		}
	}
	if f.Catalog != nil {
		for _, p := range f.Catalog.holders(want.Modules) {
			want.Packages = append(want.Packages, p.NEVRA)
			want.Group = p.Group
		}
	}
	return want
}

func stop(r reason.Reason, format string, args ...any) Want {
	return Want{State: StateOf(r), Reason: r, Message: strings.TrimSpace(fmt.Sprintf(format, args...))}
}
