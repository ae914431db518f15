// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/reason"
)

// Policy is what an administrator says that may be done; see driverd.toml(5).
// It is about what would be done: a device that has a driver keeps it.
type Policy struct {
	Rules []Rule // the last one that matches decides; if none does, all is allowed
	Holds []Hold

	// InstallForChildren has packages installed for children of devices that have
	// their drivers.
	InstallForChildren bool
}

// Rule allows or denies the devices that meet all of its conditions. A
// condition without values is met by every device, another one by a device that
// has one of the values. What is not known of a device meets no condition.
type Rule struct {
	Allow   bool
	Slots   []string // as sysfs spells them
	IDs     []string // "8086:10c9" or "10de:*", in lower case
	Classes []string // the first of the class's six digits, in lower case
	Groups  []string // of the packages that hold its drivers
	Modules []string // as the kernel spells them; * and ? stand for others
	Origin  Origin
}

// Hold is a package that must not be installed.
type Hold struct {
	Package string // its name; * and ? stand for others
	Origin  Origin
}

// Origin is where something was configured.
type Origin struct {
	File string
	Line int
}

func (o Origin) String() string { return fmt.Sprintf("%s:%d", o.File, o.Line) }

// rule returns the rule of the policy that decides about a device with this
// decision, nil if none does.
func (f Facts) rule(d hwdetect.Device, about Want) *Rule {
	groups := f.groups(about)
	for _, r := range slices.Backward(f.Policy.Rules) {
		if r.matches(d, groups, about.Modules) {
			return &r
		}
	}
	return nil
}

// groups returns the groups of all packages of a decision, which names but one.
func (f Facts) groups(about Want) []string {
	groups := []string{about.Group}
	if f.Catalog != nil {
		for _, p := range f.Catalog.packages {
			if slices.Contains(about.Packages, p.NEVRA) {
				groups = append(groups, p.Group)
			}
		}
	}
	return groups
}

func (r Rule) matches(d hwdetect.Device, groups, modules []string) bool {
	met := func(condition []string, is func(value string) bool) bool {
		return len(condition) == 0 || slices.ContainsFunc(condition, is)
	}
	return met(r.Slots, func(slot string) bool { return hasSlot(d) && slot == d.Slot.String() }) &&
		met(r.IDs, func(id string) bool { return hasID(d, id) }) &&
		met(r.Classes, func(class string) bool { return !modalias.IsAny(d.Modalias) && hasClass(d, class) }) &&
		met(r.Groups, func(group string) bool { return slices.Contains(groups, group) }) &&
		met(r.Modules, func(pattern string) bool {
			return slices.ContainsFunc(modules, func(module string) bool { return modalias.Match(pattern, module) })
		})
}

// hasID says whether an id, as a Rule has them, is that of a device.
func hasID(d hwdetect.Device, id string) bool {
	return id == fmt.Sprintf("%04x:%04x", d.Vendor, d.Product) || id == fmt.Sprintf("%04x:*", d.Vendor)
}

// hasClass says whether a class, as a Rule has them, is that of a device.
func hasClass(d hwdetect.Device, class string) bool {
	return strings.HasPrefix(fmt.Sprintf("%06x", d.Class), class)
}

// hasSlot says whether d is a device of this guest, and not only an identity
// that somebody asks about. The very first slot is that of the host bridge.
func hasSlot(d hwdetect.Device) bool { return d.Slot != hwdetect.Slot{} }

// hold returns what keeps a package from being installed, nil if nothing does.
func (p Policy) hold(nevra string) *Hold {
	for _, h := range p.Holds {
		if modalias.Match(h.Package, PackageName(nevra)) {
			return &h
		}
	}
	return nil
}

// NotHeld returns those of the packages that may be installed.
func (p Policy) NotHeld(nevras []string) []string {
	return slices.DeleteFunc(slices.Clone(nevras), func(nevra string) bool { return p.hold(nevra) != nil })
}

// Held returns what keeps one of the packages from being installed, nil if nothing does.
func (p Policy) Held(nevras []string) *Hold {
	for _, nevra := range nevras {
		if h := p.hold(nevra); h != nil {
			return h
		}
	}
	return nil
}

// Denies returns the rule that denies all devices whose drivers are in a group, nil if
// none does: a later rule may allow one of them.
func (p Policy) Denies(group string) *Rule {
	for _, r := range slices.Backward(p.Rules) {
		ofGroup := len(r.Groups) == 0 || slices.Contains(r.Groups, group)
		switch all := len(r.Slots)+len(r.IDs)+len(r.Classes)+len(r.Modules) == 0; {
		case r.Allow && ofGroup:
			return nil
		case !r.Allow && ofGroup && all:
			return &r
		}
	}
	return nil
}

// DeniesDevice returns the rule that denies a device whose driver is one of the modules,
// nil if none does. Nobody knows the groups of the packages that they came from: no rule
// denies for those, and one that allows them may.
func (p Policy) DeniesDevice(d hwdetect.Device, modules []string) *Rule {
	for _, r := range slices.Backward(p.Rules) {
		groups := []string(nil)
		if r.Allow {
			groups = r.Groups
		}
		if r.matches(d, groups, modules) {
			if r.Allow {
				return nil
			}
			return &r
		}
	}
	return nil
}

// apply lets the policy, and then the mode, speak about what would be done.
func (f Facts) apply(d hwdetect.Device, would Want) Want {
	switch would.Action {
	case Install, Load, Await:
	default:
		return would
	}
	if r := f.rule(d, would); r != nil && !r.Allow {
		return would.block(reason.Policy,
			"the rule at %s denies this device; a later rule can allow it: see driverd.toml(5)", r.Origin)
	}
	if would.Action == Install {
		for _, nevra := range would.Packages {
			if h := f.Policy.hold(nevra); h != nil {
				return would.block(reason.Policy,
					"%s has the driver, but %s says that it must not be installed: remove it there, or install it yourself", nevra, h.Origin)
			}
		}
	}
	if !f.Observe && f.PolicyProblem == nil || would.Action == Await {
		return would
	}
	todo := "load " + strings.Join(would.Modules, ", ")
	if would.Action == Install {
		todo = "install " + strings.Join(would.Packages, ", ") + " and load the driver"
	}
	switch {
	case f.PolicyProblem != nil:
		return would.block(reason.ObserveOnly,
			"the configuration has an error (see driverd check-config); without it driverd would %s", todo)
	case !hasSlot(d):
		return would.block(reason.ObserveOnly, "driverd only observes, and would otherwise %s; to let it: driverd mode auto", todo)
	default:
		return would.block(reason.ObserveOnly,
			"driverd only observes, and would otherwise %s; to do this once: driverd install %s; to do it always: driverd mode auto", todo, d.Slot)
	}
}

// block turns a decision down, and keeps what is known about the driver.
func (would Want) block(r reason.Reason, format string, args ...any) Want {
	no := stop(r, format, args...)
	no.Modules, no.Packages, no.Group, no.Firmware, no.Vendor = would.Modules, would.Packages, would.Group, would.Firmware, would.Vendor
	return no
}

// PackageName returns the name in NAME-VERSION-RELEASE.ARCH; neither version nor
// release holds a dash.
func PackageName(nevra string) string {
	for range 2 {
		if dash := strings.LastIndexByte(nevra, '-'); dash > 0 {
			nevra = nevra[:dash]
		}
	}
	return nevra
}
