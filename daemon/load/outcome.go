// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	outcomes "driverd/internal/outcome"
	"driverd/internal/printable"
	"driverd/internal/redact"
	"driverd/reason"
)

// outcomeDir is where the steps leave why they have failed, a file for each
// slot; only root can write there. A step that did what it could has done its
// work: a failed unit would make the whole system degraded for a card that does
// not work.
const outcomeDir = "/run/driverd/load"

// maxMessage bounds what is believed of a file: it quotes the kernel's log, and that
// quotes devices. maxFiles is of firmware.
const (
	maxMessage = 1000
	maxFiles   = 8
)

// reasons are those that a step can give.
var reasons = []reason.Reason{
	reason.Blacklisted, reason.ModulesDisabled, reason.KeyRejected, reason.Lockdown,
	reason.DriverOverride, reason.FirmwareMissing, reason.ProbeFailed, reason.NoDriver, reason.Policy, reason.ObserveOnly,
}

// outcome is the content of a file.
type outcome struct {
	Reason   reason.Reason `json:"reason"`
	Message  string        `json:"message"`
	Firmware []string      `json:"firmware,omitempty"` // files that are missing
	Silent   bool          `json:"silent,omitempty"`   // no driver has said why
}

// Outcomes is a folder of outcomes.
type Outcomes struct{ Dir string }

func (o Outcomes) path(slot hwdetect.Slot) string { return filepath.Join(o.Dir, slot.String()) }

// Write leaves the error of a step for whoever reads it; nil leaves nothing, and
// takes away what was there.
func (o Outcomes) Write(slot hwdetect.Slot, failed error) error {
	path := o.path(slot)
	if failed == nil {
		if err := outcomes.Remove(path); err != nil {
			return fmt.Errorf("cannot take away the last outcome: %w", err)
		}
		return nil
	}
	left := outcome{Reason: reason.Of(failed), Message: failed.Error(), Silent: errors.Is(failed, reason.ErrSilent)}
	if missing := (*firmware.MissingError)(nil); errors.As(failed, &missing) {
		left.Firmware = missing.Files
	}
	if err := outcomes.Write(path, left); err != nil {
		return fmt.Errorf("cannot say why the step has failed: %w", err)
	}
	return nil
}

// Read returns the error that a step has left, with its reason; nil if it has
// left none.
func (o Outcomes) Read(slot hwdetect.Slot) error {
	unreadable := func(err error) error {
		return reason.With(reason.ProbeFailed,
			fmt.Errorf("cannot read why the load step has failed: %w: see journalctl -u %s", err, unitName(slot)))
	}
	var found outcome
	switch err := outcomes.Read(o.path(slot), &found); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unreadable(err)
	}
	if !slices.Contains(reasons, found.Reason) {
		found.Reason = reason.ProbeFailed
	}
	failed := reason.With(found.Reason, errors.New(legible(found.Message)))
	if found.Reason == reason.FirmwareMissing {
		return &firmware.MissingError{Files: found.Firmware[:min(len(found.Firmware), maxFiles)], Err: failed}
	}
	if found.Silent {
		return reason.Silent(failed)
	}
	return failed
}

// legible takes out what is not for a person, or a credential, and cuts what is too
// long.
func legible(s string) string {
	s = redact.Text(printable.Text(s))
	if r := []rune(s); len(r) > maxMessage {
		return string(r[:maxMessage-3]) + "..."
	}
	return s
}
