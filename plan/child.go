// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/reason"
)

// Child is a child of a device that has its driver, with what is known of drivers
// for it.
type Child struct {
	hwdetect.Child
	Modules  hwdetect.ChildModules
	Packages []string // NEVRAs of the kernel's build that claim it by their modalias() Provides
}

// DecideChild says what a child of a device needs, of which about was decided: a module
// to load, a package to install if the policy has packages installed for children, or
// nothing. A want for nothing has a message if there is something that an administrator
// can do.
func DecideChild(d hwdetect.Device, about Want, c Child, f Facts) Want {
	if c.Driver != "" {
		return Want{State: Bound}
	}
	modules := slices.Concat(c.Modules.Installed, c.Modules.Fresh)
	if why := f.childDenial(c.Modalias, modules); why != "" {
		return Want{Modules: modules}.block(reason.Blacklisted, "%s must not be loaded: %s", strings.Join(modules, ", "), why)
	}
	if len(modules) > 0 {
		want := Want{Action: Load, State: Pending, Modules: modules}
		for _, m := range c.Modules.Shipped {
			want.Group = m.Group
		}
		if f.Catalog != nil {
			for _, p := range f.Catalog.holders(modules) {
				want.Packages, want.Group = append(want.Packages, p.NEVRA), p.Group
			}
		}
		return f.apply(d, want)
	}
	return f.childPackage(d, about, c)
}

// childDenial is what forbids to load all the modules that claim a child, empty if one
// may be loaded.
func (f Facts) childDenial(modalias string, modules []string) (why string) {
	if f.Law == nil {
		return ""
	}
	for _, module := range modules {
		if why = f.Law.Denial(modalias, module); why == "" {
			return ""
		}
	}
	return why
}

// childPackage decides about a child that nothing on this guest drives.
func (f Facts) childPackage(d hwdetect.Device, about Want, c Child) Want {
	if f.Catalog == nil {
		return stop(reason.NoDriver, "")
	}
	var modules []string
	for _, m := range c.Modules.Shipped {
		modules = append(modules, m.Name)
	}
	holders := f.Catalog.holders(modules)
	for _, nevra := range c.Packages {
		holders = append(holders, f.Catalog.Holder(nevra))
	}
	onGuest := func(p Holder) bool { return p.Installed || p.Repo == "" }
	if len(holders) == 0 || slices.ContainsFunc(holders, onGuest) {
		return stop(reason.NoDriver, "") // or it is there, and does not hold what it says
	}
	// The package of the device itself, else what is least to fetch.
	best := slices.MinFunc(holders, func(a, b Holder) int {
		if of := slices.Contains(about.Packages, a.NEVRA); of != slices.Contains(about.Packages, b.NEVRA) {
			return cmp.Compare(map[bool]int{false: 1}[of], map[bool]int{true: 1}[of])
		}
		return cmp.Compare(a.DownloadSize, b.DownloadSize)
	})
	would := Want{Action: Install, State: Pending, Modules: modules, Packages: []string{best.NEVRA}, Group: best.Group}
	if f.Policy.InstallForChildren {
		return f.apply(d, would)
	}
	name, command := "its driver", "dnf5 install "+best.NEVRA
	for _, module := range modules {
		if held := f.Catalog.holders([]string{module}); len(held) > 0 && held[0].NEVRA == best.NEVRA {
			name, command = "its driver "+module, fmt.Sprintf("driverd install 'kmod(%s.ko)'", module)
		}
	}
	return would.block(reason.Policy, "%s is in %s, which is not installed; to install it: %s", name, best.NEVRA, command)
}

// maker is the module that makes the devices of the auxiliary bus which a pattern is for: the
// kernel calls them "MODULE.DEVICE" (Linux: Documentation/driver-api/auxiliary_bus.rst). It is
// empty for other patterns.
func maker(pattern string) string {
	name, ok := strings.CutPrefix(pattern, "auxiliary:")
	module, _, named := strings.Cut(name, ".")
	if !ok || !named || strings.ContainsAny(module, `*?[\`) {
		return ""
	}
	return module
}

// forChildren are packages with drivers for children that a device is going to have when one
// of the modules of a want drives it, if the policy has packages installed for children.
func (f Facts) forChildren(d hwdetect.Device, about Want) (nevras []string) {
	if f.Catalog == nil || !f.Policy.InstallForChildren {
		return nil
	}
	for _, module := range about.Modules {
		for _, i := range f.Catalog.parts[module] {
			p := f.Catalog.packages[i]
			would := f.apply(d, Want{Action: Install, Packages: []string{p.NEVRA}, Group: p.Group})
			if p.offered() && !p.Installed && would.Action == Install && !slices.Contains(slices.Concat(about.Packages, nevras), p.NEVRA) {
				nevras = append(nevras, p.NEVRA)
			}
		}
	}
	slices.Sort(nevras)
	return nevras
}

// Keeps says why nothing may be done for the driver of a device that is bound to it,
// empty if something may.
func Keeps(d hwdetect.Device, about Want, f Facts) string {
	return f.apply(d, Want{Action: Load, Modules: about.Modules, Packages: about.Packages, Group: about.Group}).Message
}

// childBuses are those of devices below PCI devices whose drivers are modules.
var childBuses = []string{"auxiliary:", "usb:", "hdaudio:", "mdio:", "virtio:", "scsi:", "hid:", "i2c:"}

// ClaimsChild says whether a capability of a package is that it has a driver for a
// device below a PCI device.
func ClaimsChild(capability string) bool {
	pattern, ok := argument(capability, "modalias(")
	return ok && slices.ContainsFunc(childBuses, func(bus string) bool { return strings.HasPrefix(pattern, bus) })
}

// ChildPackages returns which packages claim children with these identities by their
// modalias() Provides.
func ChildPackages(packages []Package, identities []string) map[string][]string {
	found := make(map[string][]string)
	for _, p := range packages {
		for _, capability := range p.Provides {
			if !ClaimsChild(capability) {
				continue
			}
			pattern, _ := argument(capability, "modalias(")
			for _, id := range identities {
				if modalias.Match(pattern, id) && !slices.Contains(found[id], p.NEVRA) {
					found[id] = append(found[id], p.NEVRA)
				}
			}
		}
	}
	return found
}
