// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/report"
	"driverd/kernelbuild"
	"driverd/plan"
)

func statusCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the devices, those that need help first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var shown report.Status
			err := c.with(cmd.Context(), func(client *api.Client) (err error) {
				shown, err = report.ReadStatus(cmd.Context(), client)
				return err
			})
			if errors.Is(err, api.ErrNoService) {
				if closed := c.gate(); closed != nil {
					shown, err = report.Inactive(version, closed), nil
				}
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
	return cmd
}

func (c console) printStatus(r report.Status, asJSON bool) error {
	if asJSON {
		return c.printJSON(r)
	}
	return c.print(c.statusText(r))
}

// concern is how much a device wants to be looked at, the most urgent first.
type concern int

const (
	needsHelp concern = iota
	inProgress
	settled
	chipset // whose parts nobody plugged in, and nobody misses a driver of
)

func concernOf(d api.Device) concern {
	switch d.State {
	case "pending", "installing", "loading":
		return inProgress
	case "bound":
		if !isChipset(d) {
			return settled
		}
		return chipset
	case "unsupported", "unavailable":
		if isChipset(d) {
			return chipset
		}
	case "blocked":
		if isChipset(d) && d.Reason == "policy" {
			return chipset
		}
	}
	return needsHelp
}

// isChipset says whether a device is a part of the mainboard that the
// hypervisor emulates: a bridge or an SMBus controller whose driver is in no
// package for devices that are passed through.
func isChipset(d api.Device) bool {
	return plan.Chipset(d.Class) && (d.Group == "" || d.Group == kernelbuild.Base || d.Group == kernelbuild.Hardware)
}
