// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/printable"
)

// waitTime is how long driverd wait waits if nobody says how long.
const waitTime = 5 * time.Minute

// errDeadline is why a wait ends that has taken too long.
var errDeadline = errors.New("the timeout has expired")

func waitCommand(c console) *cobra.Command {
	timeout := waitTime
	cmd := &cobra.Command{
		Use:   "wait [SLOT...]",
		Short: "Wait until the devices have settled, and none needs help",
		Long: "Wait until the devices, or those in the given slots, have settled, and say which\n" +
			"of them need help. A slot that is empty is waited for. The exit status is 0 if\n" +
			"none needs help, 1 if one has failed or after the timeout, 4 if one is\n" +
			"blocked or unavailable, 3 if no driver is known for one or its slot is still\n" +
			"empty, 5 without the service.",
		Example:           "  driverd wait\n  driverd wait --timeout 90s 0000:01:00.0",
		ValidArgsFunction: c.completeSlots,
		RunE: func(cmd *cobra.Command, args []string) error {
			slots, err := parseSlots(args)
			if err != nil {
				return err
			}
			if timeout < 0 {
				return status{exitUsage, fmt.Errorf("cannot wait for %v: want 0 or more", timeout)}
			}
			w := wait{console: c, slots: slots, timeout: timeout}
			return w.closed(c.with(cmd.Context(), func(client *api.Client) error { return w.run(cmd.Context(), client) }))
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", waitTime, "give up after `TIME`; 0 only looks")
	return cmd
}

// wait waits for devices.
type wait struct {
	console
	slots   []string // all devices if there are none
	timeout time.Duration
}

// run waits until the devices have settled, and returns what is wrong with them then.
func (w wait) run(ctx context.Context, client *api.Client) error {
	manager, err := client.Manager(ctx)
	if err != nil {
		return err
	}
	if manager.Status == string(daemon.Inactive) {
		return inactive(manager.Reason, manager.Message)
	}
	// Not a deadline of the context, which would be that of each call too.
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	if w.timeout > 0 {
		defer time.AfterFunc(w.timeout, func() { giveUp(errDeadline) }).Stop()
	}
	var last error // why it has to wait
	for devices, err := range client.Look(ctx) {
		switch {
		case errors.Is(err, api.ErrNoService):
			if last == nil || !w.atRest() { // it may be restarted
				last = err
			}
		case err != nil:
			return err
		default:
			chosen, missing, err := w.chosen(devices)
			if err != nil {
				return err
			}
			if last = unsettled(chosen, missing); last == nil {
				return w.result(chosen)
			}
		}
		if w.timeout == 0 {
			return last
		}
	}
	if cause := context.Cause(ctx); errors.Is(cause, errDeadline) {
		return fmt.Errorf("%w, after %v", cmp.Or(last, error(status{exitFailed, cause})), w.timeout)
	}
	return status{exitFailed, errors.New("interrupted")}
}

// chosen are those of the devices that are waited for, and the slots that are empty.
func (w wait) chosen(devices []api.Device) (chosen []api.Device, missing []string, err error) {
	if len(w.slots) == 0 {
		return devices, nil, nil
	}
	for _, word := range w.slots {
		slot, err := inDomain(word, slotsOf(devices))
		if err != nil {
			return nil, nil, err
		}
		if i := slices.IndexFunc(devices, func(d api.Device) bool { return d.Slot == slot }); i >= 0 {
			chosen = append(chosen, devices[i])
		} else {
			missing = append(missing, slot)
		}
	}
	return chosen, missing, nil
}

// unsettled says what keeps the command waiting, nil if nothing does.
func unsettled(chosen []api.Device, missing []string) error {
	var busy []string
	for _, d := range chosen {
		if concernOf(d) == inProgress {
			busy = append(busy, d.Slot+" is still "+d.State)
		}
	}
	switch {
	case len(busy) > 0:
		return status{exitFailed, errors.New(strings.Join(busy, ", "))}
	case len(missing) > 0:
		return status{exitUnknown, fmt.Errorf("there is no device in slot %s", strings.Join(missing, ", "))}
	}
	return nil
}

// result says which of the devices need help.
func (w wait) result(chosen []api.Device) error {
	help := needHelp(chosen)
	if len(help) == 0 {
		return nil
	}
	_, _ = fmt.Fprintf(w.stderr, "Need help\n%s", w.plain().entries(help)) // the colours are standard output's
	return status{code: exitOfDevices(help)}
}

// closed is err, or where there is no service because nothing can be done in this guest,
// that.
func (w wait) closed(err error) error {
	if errors.Is(err, api.ErrNoService) {
		if closed := w.gate(); closed != nil {
			return status{exitBlocked, closed}
		}
	}
	return err
}

// inactive is the error of a command that has to wait for a service that will never do
// anything.
func inactive(reason, message string) error {
	return status{exitBlocked, fmt.Errorf("driverd is inactive (%s): %s", printable.Text(reason), message)}
}
