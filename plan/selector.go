// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/kernelbuild"
)

// Selector names what somebody wants to have installed: for a device, or by
// its group, or by the module that it holds; or a file of firmware.
type Selector struct {
	text     string
	subject  Subject // if it is none of the following
	group    string
	module   string // in the kernel's spelling
	firmware string
}

// ParseSelector reads a slot, a modalias, vendor and product, the name of a
// group, kmod(x.ko), or firmware(x).
func ParseSelector(text string) (Selector, error) {
	if slices.Contains(kernelbuild.OptionalGroups(), text) {
		return Selector{text: text, group: text}, nil
	}
	if file, ok := argument(text, "kmod("); ok && text == "kmod("+file+")" && isModuleFile(file) {
		return Selector{text: text, module: kernelbuild.ModuleOfFile(file)}, nil
	}
	if file, ok := argument(text, "firmware("); ok && text == "firmware("+file+")" && hwdetect.IsFirmware(file) {
		return Selector{text: text, firmware: file}, nil
	}
	if subject, err := ParseSubject(text); err == nil {
		return Selector{text: text, subject: subject}, nil
	}
	return Selector{}, fmt.Errorf("cannot understand %.80q: want a slot (0000:01:00.0), "+
		"a modalias (pci:v00008086d000010C9sv...), vendor and product (8086:10c9), "+
		"a group (%s), kmod(NAME.ko), "+
		"or firmware(FILE), as drivers name it (qed/init.bin)", text, strings.Join(kernelbuild.OptionalGroups(), ", "))
}

// isModuleFile says whether a module's file can have this name, uncompressed. The kernel
// keeps 64 bytes for the name of a module.
func isModuleFile(file string) bool {
	name, ok := strings.CutSuffix(file, ".ko")
	return ok && name != "" && len(name) < 64 && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// String returns the selector as it was given.
func (s Selector) String() string { return s.text }

// Selection is what a selector comes to on one guest.
type Selection struct {
	// Want is about what the selector names: to install or to load it, or
	// why there is no need, or no way.
	Want  Want
	Slots []hwdetect.Slot // of the devices that are here

	// Firmware is the file that the selector names, if it does; the decision is
	// empty then. Who has the file no catalog knows.
	Firmware string
}

// Select says what the selector comes to; not ok means that it names a slot
// where no device is.
func (s Selector) Select(devices []hwdetect.Device, f Facts) (selection Selection, ok bool) {
	if s.firmware != "" {
		return Selection{Firmware: s.firmware}, true
	}
	if s.subject.BySlot {
		for _, d := range devices {
			if d.Slot == s.subject.Device.Slot {
				return Selection{Want: Decide(d, f), Slots: []hwdetect.Slot{d.Slot}}, true
			}
		}
		return Selection{}, false
	}
	is := func(d hwdetect.Device) bool { return d.Modalias == s.subject.Device.Modalias }
	switch {
	case s.group != "" || s.module != "":
		selection.Want = f.named(s)
		is = func(d hwdetect.Device) bool {
			needs := Decide(d, f)
			return needs.Action == Install && slices.ContainsFunc(needs.Packages, func(nevra string) bool {
				return slices.Contains(selection.Want.Packages, nevra)
			})
		}
	default:
		selection.Want = Decide(s.subject.Device, f)
		if id := s.subject.Device; strings.Contains(id.Modalias, "*") {
			is = func(d hwdetect.Device) bool { return d.Vendor == id.Vendor && d.Product == id.Product }
		}
	}
	for _, d := range devices {
		if is(d) {
			selection.Slots = append(selection.Slots, d.Slot)
		}
	}
	return selection, true
}

// named decides about packages that are asked for by their group, or by a module
// that they hold.
func (f Facts) named(s Selector) Want {
	var packages []Holder
	if c := f.Catalog; c != nil && s.module != "" {
		packages = c.holders([]string{s.module})
	} else if c != nil {
		packages = c.ofGroup(s.group)
	}
	if len(packages) == 0 {
		return f.unknown("no package of kernel %s is named by %s", f.Release, s.text)
	}
	if hidden := onlyExcluded(packages); len(hidden) > 0 {
		return excluded(hidden)
	}
	d := Want{Group: packages[0].Group}
	if s.module != "" {
		d.Modules = []string{s.module}
	}
	for _, p := range packages {
		if p.offered() {
			d.Action, d.State = Install, Pending
			d.Packages = append(d.Packages, p.NEVRA)
		}
	}
	if d.Action == Nothing { // all that there is of them is installed
		for _, p := range packages {
			d.Packages = append(d.Packages, p.NEVRA)
		}
	}
	return f.apply(hwdetect.Device{}, d)
}
