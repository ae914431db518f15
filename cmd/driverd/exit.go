// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"driverd/api"
	"driverd/plan"
	"driverd/reason"
)

// The exit statuses of the command line. Those of driverd load are another
// matter; see package load.
const (
	exitFailed    = 1
	exitUsage     = 2
	exitUnknown   = 3 // nothing is known about it
	exitBlocked   = 4 // blocked or unavailable
	exitNoService = 5
)

// exitAgain has systemd start the service again at once: RestartForceExitStatus= in
// driverd.service (EX_TEMPFAIL of sysexits.h).
const exitAgain = 75

// status is an error that says which exit status it asks for. Without an err
// everything has been said already.
type status struct {
	code int
	err  error
}

func (s status) Error() string {
	if s.err == nil {
		return fmt.Sprintf("exit status %d", s.code)
	}
	return s.err.Error()
}

func (s status) Unwrap() error { return s.err }

// exit says what went wrong, and returns the exit status for it.
func (c console) exit(err error) int {
	if err == nil {
		return 0
	}
	s := status{exitUsage, err} // what cobra itself complains of
	if !errors.As(err, &s) {
		_, _ = fmt.Fprintf(c.stderr, "%s\nSee driverd --help.\n", c.wrapped(fmt.Sprintf("driverd: %.300s", err.Error()), 0)) // which quotes what was typed
	} else if s.err != nil {
		_, _ = fmt.Fprintf(c.stderr, "%s\n", c.wrapped("driverd: "+err.Error(), 0))
	}
	for _, hint := range hints {
		if errors.Is(err, hint.of) {
			_, _ = fmt.Fprint(c.stderr, hint.text)
		}
	}
	return s.code
}

// hints say what to type next.
var hints = []struct {
	of   error
	text string
}{
	{api.ErrNoService, "To start it:\n  systemctl start driverd\nTo see why it ended:\n  journalctl -u driverd\n"},
	{api.ErrNotAuthorized, "Run the command as root (sudo), or allow the action with a polkit rule.\n"},
	{api.ErrNoCandidate, "To see what is known about it:\n  driverd explain SLOT\n"},
	{api.ErrBackendFailed, "To see why, and when driverd retries:\n  journalctl -u driverd\nTo retry now:\n  driverd rescan\n"},
}

// failure gives an error of the service its exit status.
func failure(err error) error {
	switch {
	case err == nil, errors.As(err, new(status)): // or it has one
		return err
	case errors.Is(err, api.ErrNoService):
		return status{exitNoService, err}
	case errors.Is(err, api.ErrNoSuchDevice), errors.Is(err, api.ErrNoCandidate):
		return status{exitUnknown, err}
	case errors.Is(err, api.ErrRefused):
		return status{exitBlocked, err}
	case errors.Is(err, api.ErrInvalid):
		return status{exitUsage, err}
	default:
		return status{exitFailed, err}
	}
}

// exitOf is the exit status of a job that has failed.
func exitOf(job api.Job) int { return exitOfState(plan.StateOf(reason.Reason(job.Reason))) }

// exitOfState is the exit status for a device that has come to its end without a driver.
func exitOfState(state plan.State) int {
	switch state {
	case plan.Unsupported:
		return exitUnknown
	case plan.Blocked, plan.Unavailable:
		return exitBlocked
	}
	return exitFailed
}
