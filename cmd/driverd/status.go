// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/report"
)

func statusCommand(c console) *cobra.Command {
	var asJSON, check bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the devices, those that need help first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 { // of driverd itself, an empty one: cobra has seen to all others
				return status{exitUsage, fmt.Errorf("unknown command %.80q", args[0])}
			}
			shown, err := c.readStatus(cmd.Context())
			if check {
				return checked(shown, err)
			}
			if err != nil {
				return err
			}
			if err := c.printStatus(shown, asJSON); err != nil {
				return status{exitFailed, err}
			}
			if shown.Status == string(daemon.Inactive) {
				return status{code: exitBlocked}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	cmd.Flags().BoolVar(&check, "check", false, "print nothing, only set the exit status")
	cmd.MarkFlagsMutuallyExclusive("json", "check")
	return cmd
}

// readStatus asks the service for its status. Without a service it is that of a guest in
// which nothing can be done, if this is one.
func (c console) readStatus(ctx context.Context) (s report.Status, err error) {
	err = c.with(ctx, func(client *api.Client) (err error) {
		s, err = report.ReadStatus(ctx, client)
		return err
	})
	if errors.Is(err, api.ErrNoService) {
		if closed := c.gate(); closed != nil {
			return report.Inactive(version, closed), nil
		}
	}
	return s, err
}

// checked returns the exit status for a status that nobody reads: that of the device
// that needs help most.
func checked(s report.Status, err error) error {
	code := exitOfDevices(s.Devices)
	if failed := (status{}); errors.As(err, &failed) {
		code = failed.code
	} else if s.Status == string(daemon.Inactive) {
		code = exitBlocked
	}
	if code == 0 {
		return nil
	}
	return status{code: code}
}

func (c console) printStatus(r report.Status, asJSON bool) error {
	if asJSON {
		return c.printJSON(r)
	}
	return c.print(c.statusText(r))
}
