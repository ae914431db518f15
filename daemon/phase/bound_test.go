// SPDX-License-Identifier: Apache-2.0

package phase_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"driverd/daemon/ledger"
	"driverd/daemon/phase"
	"driverd/plan"
	"driverd/reason"
)

// What is done for a device that has its driver. It is bound whatever comes of it.
func TestBound(t *testing.T) {
	t.Parallel()
	tried := func(try ledger.Try, children ...string) ledger.Try {
		try.Children = children
		return try
	}
	lacks := failedWith(missing)
	notStarted := reason.With(reason.NotAuthorized, reason.NotStarted(errors.New("no")))
	for _, c := range []struct {
		name    string
		whole   phase.Whole
		bring   ledger.Try
		changes ledger.Changes
		cancel  string // who has cancelled its job
		act     phase.Act
		wakes   bool
		message string // a part of it; empty if there is none
	}{
		{name: "nothing is missing"},
		{name: "a child waits", whole: phase.Whole{Load: []string{"usb:v1"}}, act: phase.Load},
		{name: "its step runs", whole: phase.Whole{Load: []string{"usb:v1"}, Children: tried(running, "usb:v1")}},
		{name: "it was tried", whole: phase.Whole{Load: []string{"usb:v1"}, Children: tried(well, "usb:v1", "usb:v2")}},
		{name: "another one comes", whole: phase.Whole{Load: []string{"usb:v1", "usb:v3"}, Children: tried(well, "usb:v1")}, act: phase.Load},
		{name: "other modules", whole: phase.Whole{Load: []string{"usb:v1"}, Children: tried(well, "usb:v1")}, changes: ledger.Changes{Modules: ago(time.Second)}, act: phase.Load},
		{name: "it is denied", whole: phase.Whole{Load: []string{"usb:v1"}, Children: tried(failed(reason.Blacklisted), "usb:v1")}, message: "no: blacklisted"},
		{name: "and is no more there", whole: phase.Whole{Children: tried(failed(reason.Blacklisted), "usb:v1")}},
		{name: "polkit is away", whole: phase.Whole{Load: []string{"usb:v1"}, Children: tried(failedWith(notStarted), "usb:v1")}, wakes: true, message: "no"},
		{name: "firmware may be missing", whole: phase.Whole{Unasked: true}, act: phase.Load},
		{name: "and was asked about", whole: phase.Whole{Unasked: true, Children: well}, changes: ledger.Changes{Modules: ago(time.Second)}},
		{name: "but polkit was away", whole: phase.Whole{Unasked: true, Children: failedWith(notStarted)}, wakes: true},
		{name: "half a minute ago", whole: phase.Whole{Unasked: true, Children: dueAfter(notStarted)}, act: phase.Load},
		{name: "firmware is missing", whole: phase.Whole{Driver: "qed", Children: lacks}, act: phase.BringFirmware, message: "qed works without the firmware /lib/firmware/qed/init.bin"},
		{name: "and must not be brought", whole: phase.Whole{Children: lacks, Denied: "rule 7"}, message: "rule 7"},
		{name: "it is being brought", whole: phase.Whole{Children: lacks}, bring: running, message: "is being installed"},
		{name: "it is there", whole: phase.Whole{Driver: "qed", Children: lacks}, bring: well, message: "tee /sys/bus/pci/drivers/qed/unbind"},
		{name: "it cannot be had", whole: phase.Whole{Children: lacks}, bring: failed(reason.FirmwareMissing), message: "no: firmware-missing"},
		{name: "to bring it was cancelled", whole: phase.Whole{Children: lacks}, cancel: "uid:0", message: "to bring it was cancelled by uid:0; driverd rescan"},
		{name: "a package for a child", whole: phase.Whole{Needs: true}, act: phase.InstallForChildren},
		{name: "which is being installed", whole: phase.Whole{Needs: true, Install: running}},
		{name: "which changes nothing", whole: phase.Whole{Needs: true, Install: well}, changes: ledger.Changes{Modules: well.Ended}},
		{name: "which somebody has removed since", whole: phase.Whole{Needs: true, Install: well}, changes: ledger.Changes{Modules: now}, act: phase.InstallForChildren},
		{name: "and cannot be", whole: phase.Whole{Needs: true, Install: failed(reason.NoSpace)}, wakes: true, message: "no: no-space"},
		{name: "and was cancelled", whole: phase.Whole{Needs: true}, cancel: "uid:0", message: "what its children need was cancelled by uid:0; driverd rescan"},
		{name: "a child waits all the same", whole: phase.Whole{Load: []string{"usb:v1"}}, cancel: "uid:0", act: phase.Load},
		{name: "and nothing else", cancel: "uid:0"},
		{name: "it is time again", whole: phase.Whole{Needs: true, Install: due(reason.NoSpace)}, act: phase.InstallForChildren, message: "no: no-space"},
	} {
		p := phase.Of(phase.Device{Slot: slot, Want: plan.Want{State: plan.Bound}, Whole: c.whole, Firmware: c.bring, Cancelled: c.cancel, Changes: c.changes}, now)
		if p.State != plan.Bound || p.Reason != reason.None || p.Act != c.act || p.Wake.IsZero() == c.wakes ||
			(p.Message == "") != (c.message == "") || !strings.Contains(p.Message, c.message) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}
