// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"

	"driverd/hwdetect"
	"driverd/reason"
)

// An outcome is a way in which the load step can fail. Its exit status is all
// that crosses the border of privilege, so each has its own; the text is for
// whoever asks the service.
type outcome struct {
	status int
	reason reason.Reason
	text   string
}

// The statuses keep clear of those of the command line (0 to 5), of
// sysexits.h (64 to 78) and of systemd (200 and more).
var outcomes = []outcome{
	{10, reason.Blacklisted, "modprobe's configuration or the kernel command line blacklists its module: see modprobe --showconfig"},
	{11, reason.ModulesDisabled, "the kernel loads no more modules (kernel.modules_disabled=1): reboot to load it"},
	{12, reason.KeyRejected, "the kernel does not trust the signature of its module"},
	{13, reason.DriverOverride, "driver_override reserves the device"},
	{14, reason.ProbeFailed, "modprobe cannot load its module"},
	{15, reason.NoDriver, "no installed module claims it"},
}

// ExitStatus returns the exit status of the load step that ended with err.
func ExitStatus(err error) int {
	if err == nil {
		return 0
	}
	r := reason.Of(err)
	for _, o := range outcomes {
		if o.reason == r {
			return o.status
		}
	}
	return 1
}

// FromExitStatus is the other side of ExitStatus: the error, with its reason,
// of a load step for slot that ended with a status other than 0.
func FromExitStatus(slot hwdetect.Slot, status int) error {
	for _, o := range outcomes {
		if o.status == status {
			return reason.With(o.reason, errors.New(o.text))
		}
	}
	return reason.With(reason.ProbeFailed,
		fmt.Errorf("the load step ended with status %d: see journalctl -u %s", status, unitName(slot)))
}
