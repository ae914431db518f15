// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/plan"
)

func statusCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the devices, those that need help first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(client *api.Client) error {
				manager, err := client.Manager(cmd.Context())
				if err != nil {
					return err
				}
				devices, err := client.Devices(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(statusReport{manager, devices})
				}
				return c.print(c.statusText(manager, devices))
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	return cmd
}

// statusReport is the JSON of driverd status.
type statusReport struct {
	api.Manager
	Devices []api.Device `json:"devices"`
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
	return plan.Chipset(d.Class) && (d.Group == "" || d.Group == "base" || d.Group == "hardware")
}
