// SPDX-License-Identifier: Apache-2.0

package phase

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"driverd/daemon/ledger"
	"driverd/hwdetect/firmware"
	"driverd/plan"
)

// Whole is what a bound device still needs to be whole: drivers of its children, and
// firmware that its own has done without.
type Whole struct {
	Driver string

	Load     []string   // identities of children whose modules are there, and not loaded
	Install  ledger.Try // of the packages that children need, if they are to be installed
	Needs    bool       // packages are to be installed for children
	Notes    []string   // what an administrator can do for children
	Unasked  bool       // firmware is not there that its driver may have asked for: the kernel's log knows
	Denied   string     // what keeps driverd from doing anything for its driver; empty if nothing does
	Children ledger.Try // the last load step for its children
}

// bound is the phase of a device that has its driver. It stays bound whatever becomes
// of its children.
func (d Device) bound(now time.Time) Phase {
	w := d.Whole
	p := Phase{Name: Decided, State: plan.Bound}
	bring, lacks := d.unwell(now)
	switch {
	case w.Children.Running():
	case d.mayLoadChildren(now):
		p.Act = Load
	case bring:
		p.Act = BringFirmware
	case w.Needs && d.Cancelled == "" && d.mayInstallForChildren(now):
		p.Act = InstallForChildren
	}
	for _, try := range []ledger.Try{w.Children, w.Install, d.Firmware} {
		if at := try.RetryAt; try.Failed() && now.Before(at) && (p.Wake.IsZero() || at.Before(p.Wake)) {
			p.Wake = at
		}
	}
	notes := slices.Clone(w.Notes)
	if d.Want.Message != "" {
		notes = slices.Insert(notes, 0, d.Want.Message)
	}
	if lacks != "" {
		notes = slices.Insert(notes, 0, lacks)
	}
	waits := func(id string) bool { return slices.Contains(w.Children.Children, id) }
	if err := w.Children.Err; w.Children.Failed() && lacks == "" && slices.ContainsFunc(w.Load, waits) {
		notes = append(notes, err.Error())
	}
	switch err := w.Install.Err; {
	case w.Needs && d.Cancelled != "":
		notes = append(notes, "to install what its children need "+d.wasCancelled())
	case w.Needs && w.Install.Failed():
		notes = append(notes, fmt.Sprintf("cannot install what its children need: %v", err))
	}
	p.Message = strings.Join(notes, "; ")
	return p
}

// mayLoadChildren says whether there is something for a load step to do that has not
// been tried since the modules on the disk changed.
func (d Device) mayLoadChildren(now time.Time) bool {
	try, w := d.Whole.Children, d.Whole
	if !try.Done() || try.Due(now, d.Changes) && len(MissingFirmware(try)) == 0 {
		return w.Unasked || len(w.Load) > 0
	}
	return slices.ContainsFunc(w.Load, func(id string) bool {
		return !slices.Contains(try.Children, id) || d.Changes.Modules.After(try.Began)
	})
}

// mayInstallForChildren says whether the packages that children need have not been tried, may be
// tried again, or seem to have been removed since they were installed.
func (d Device) mayInstallForChildren(now time.Time) bool {
	switch try := d.Whole.Install; {
	case try.Running():
		return false
	case !try.Done():
		return true
	case try.Err == nil:
		return d.Changes.Modules.After(try.Ended)
	default:
		return try.Due(now, d.Changes)
	}
}

// unwell says what the driver of a bound device has done without, and whether that is
// to be brought. The device is not taken from its driver for it.
func (d Device) unwell(now time.Time) (bring bool, message string) {
	try, files := d.Firmware, MissingFirmware(d.Whole.Children)
	if len(files) == 0 {
		return false, ""
	}
	message = firmware.Without(d.Whole.Driver, files)
	switch {
	case d.Whole.Denied != "":
		return false, message + "; " + d.Whole.Denied
	case try.Running():
		return false, message + ", which is being installed"
	case try.Done() && try.Err == nil:
		return false, message + "; " + firmware.Reload(d.Slot, d.Whole.Driver)
	case d.Cancelled != "":
		return false, message + "; to bring it " + d.wasCancelled()
	case !try.Done() || try.Due(now, d.Changes):
		return true, message
	}
	return false, fmt.Sprintf("%s: %v", message, try.Err)
}

// wasCancelled says who has cancelled the job of a bound device, and what ends that.
func (d Device) wasCancelled() string {
	return fmt.Sprintf("was cancelled by %s; driverd rescan tries again", d.Cancelled)
}
