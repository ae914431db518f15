// SPDX-License-Identifier: Apache-2.0

package phase

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"driverd/daemon/ledger"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/plan"
	"driverd/reason"
)

// BindTime is how long a driver may take to bind after its module was loaded
// (asynchronous probing), or a built-in one after its device appeared. Then it has had
// its chance.
const BindTime = 2 * time.Second

// SettleTime is how long a device for which nothing is to be done is not called anything: a
// driver that driverd does not know of may be about to take it.
const SettleTime = 250 * time.Millisecond

// Device is what the phase of a device follows from.
type Device struct {
	Slot hwdetect.Slot
	Seen time.Time
	Came time.Time // before Seen, if the service was started since
	Want plan.Want

	Install  ledger.Try // of its packages
	Firmware ledger.Try // of the files that its load step has missed
	Load     ledger.Try // of its driver, or that of a device that is alike

	Unpacked     bool   // the job at work has put all that it waits for on the disk
	Reinstalling bool   // its package is being installed again, or about to be
	Damaged      error  // why that could not be done, if it was to be
	Cancelled    string // by whom its job was, with or without its driver; empty if it was not

	Changes ledger.Changes

	Whole Whole // what its children need, if it is bound
}

// Of says where a device stands at a moment.
func Of(d Device, now time.Time) Phase {
	switch d.Want.Action {
	case plan.Learn:
		return in(Learning, Wait)
	case plan.Await:
		return d.await(AwaitingBuiltIn, d.Seen, now, "the driver is built into the kernel, but has not taken the device")
	case plan.Load:
		switch {
		case d.Reinstalling:
			return in(Reinstalling, Wait)
		case d.Install.Running():
			return d.install(now) // depmod may not be through with the index
		}
		return d.load(now)
	case plan.Install:
		if d.Cancelled != "" {
			return d.cancelled()
		}
		return d.install(now)
	}
	if d.Want.State == plan.Bound {
		return d.bound(now)
	}
	if deadline := d.Came.Add(SettleTime); now.Before(deadline) {
		p := in(Settling, Wait)
		p.Wake = deadline
		return p
	}
	return Phase{Name: Decided, State: d.Want.State, Reason: d.Want.Reason, Message: d.Want.Message}
}

// install is the phase of a device whose packages are missing. A try that has ended
// answers only for devices that were there: one that comes later has it tried again.
func (d Device) install(now time.Time) Phase {
	try := d.Install
	switch {
	case d.Load.Running():
		return in(LoadingDriver, Wait)
	case try.Running() && d.Unpacked && d.Load.Owner != try.Owner:
		return in(Installing, Load)
	case try.Running():
		return in(Installing, Wait)
	case !try.Done() || d.Seen.After(try.Ended) || try.Due(now, d.Changes):
		return in(WaitingForJob, Install)
	case try.Err == nil && d.removed():
		return in(WaitingForJob, Install)
	case try.Err == nil:
		return d.load(now) // a scriptlet was cut short; the load step can do without depmod
	}
	return failed(InstallFailed, try.Err, try.RetryAt)
}

// removed says whether somebody seems to have removed the packages since they were installed:
// the modules on the disk have changed since, and the load step has found none after that.
func (d Device) removed() bool {
	changed := d.Changes.Modules
	return changed.After(d.Install.Ended) && !changed.After(d.Load.Began) && reason.Of(d.Load.Err) == reason.NoDriver
}

// load is the phase of a device whose modules are installed.
func (d Device) load(now time.Time) Phase {
	try := d.Load
	missing := MissingFirmware(try)
	switch {
	case try.Running():
		return in(LoadingDriver, Wait)
	case !try.Done() || try.Early || d.Changes.Modules.After(try.Began):
		return in(WaitingToLoad, Load)
	case try.Err == nil:
		return d.await(AwaitingDriver, try.Ended, now, "its module is loaded, but the driver has not taken the device")
	case len(missing) > 0:
		return d.bring(now)
	case try.Due(now, d.Changes):
		return in(WaitingToLoad, Load)
	}
	return failed(LoadFailed, d.loadError(), try.RetryAt)
}

// MissingFirmware returns the files that a load step has missed.
func MissingFirmware(try ledger.Try) []string {
	var missing *firmware.MissingError
	if !try.Failed() || !errors.As(try.Err, &missing) {
		return nil
	}
	return missing.Files
}

// bring is the phase of a device whose driver has asked for firmware in vain. What
// could not be brought, or has not helped, is looked for again when the repositories,
// or the way to them, are others.
func (d Device) bring(now time.Time) Phase {
	try := d.Firmware
	lacks := func(err error) error {
		if err == nil {
			return d.loadError()
		}
		return reason.With(reason.FirmwareMissing, fmt.Errorf("%w; %w", d.loadError(), err))
	}
	switch {
	case try.Running():
		return in(Bringing, Wait)
	case d.Cancelled != "":
		return failed(FirmwareFailed, lacks(errors.New("to bring it was "+d.cancelled().Message)), time.Time{})
	case !try.Done() || try.Due(now, d.Changes) || try.Err == nil && d.Changes.Overtake(d.Load):
		return in(WaitingToBring, BringFirmware)
	}
	return failed(FirmwareFailed, lacks(try.Err), try.RetryAt)
}

// loadError is why the load step has failed, as far as the packages say more.
func (d Device) loadError() error {
	err := d.Load.Err
	if packages := strings.Join(d.Want.Packages, " "); packages != "" && reason.Of(err) == reason.NoDriver {
		err = reason.With(reason.TransactionFailed, fmt.Errorf(
			"%s is installed, but none of its modules can be read and drives it: run dnf5 reinstall %s", packages, packages))
	}
	if d.Damaged != nil {
		return fmt.Errorf("%w; the guest went down before its package was on the disk, and it could not be installed again yet: %w", err, d.Damaged)
	}
	return err
}

// await gives a driver BindTime since a moment to take the device.
func (d Device) await(name Name, since, now time.Time, otherwise string) Phase {
	if deadline := since.Add(BindTime); now.Before(deadline) {
		p := in(name, Wait)
		p.Wake = deadline
		return p
	}
	return failed(LoadFailed, reason.With(reason.ProbeFailed,
		fmt.Errorf("%s; the kernel log says why: journalctl -k --grep %s", otherwise, d.Slot)), time.Time{})
}

// cancelled is the phase of a device whose job somebody has cancelled.
func (d Device) cancelled() Phase {
	p := in(Cancelled, Wait)
	p.Reason = reason.Policy
	p.Message = fmt.Sprintf("cancelled by %s; driverd install %s or driverd rescan tries again", d.Cancelled, d.Slot)
	return p
}
