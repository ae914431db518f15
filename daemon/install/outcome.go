// SPDX-License-Identifier: Apache-2.0

package install

import (
	"errors"
	"fmt"

	outcomes "driverd/internal/outcome"
	"driverd/internal/printable"
	"driverd/reason"
)

// outcomeDir is where the steps leave how they have ended, a file for each job; only
// root can write there. A step that did what it could has done its work: a failed unit
// would make the whole system degraded for a package that cannot be had.
const outcomeDir = "/run/driverd/install"

// maxMessage is how long a message is at most, in characters.
const maxMessage = 2000

// outcome is how a step has ended.
type outcome struct {
	Reason  reason.Reason `json:"reason,omitempty"`
	Message string        `json:"message,omitempty"` // empty if all went well
	Coming  []string      `json:"coming,omitempty"`  // what it was about to install when the service let it
	Started string        `json:"started,omitempty"` // the unique name of a dnf5daemon that was started for it
}

// write leaves an outcome for whoever reads it.
func (o outcome) write(dir string, job uint64) error {
	if err := outcomes.Write(requestFile(dir, job), o); err != nil {
		return fmt.Errorf("cannot say how the step has ended: %w", err)
	}
	return nil
}

// forget takes away the outcome of a job of the same number.
func forget(dir string, job uint64) error {
	if err := outcomes.Remove(requestFile(dir, job)); err != nil {
		return fmt.Errorf("cannot take away the last outcome: %w", err)
	}
	return nil
}

// readOutcome reads what a step has left.
func readOutcome(dir string, job uint64) (outcome, error) {
	var o outcome
	err := outcomes.Read(requestFile(dir, job), &o)
	o.Message = legible(o.Message)
	return o, err
}

// err is the error that an outcome tells of.
func (o outcome) err() error {
	if o.Message == "" {
		return nil
	}
	return reason.With(o.Reason, errors.New(o.Message))
}

// legible takes out what is not for a person, and cuts what is too long.
func legible(s string) string {
	s = printable.Text(s)
	if r := []rune(s); len(r) > maxMessage {
		return string(r[:maxMessage-3]) + "..."
	}
	return s
}
