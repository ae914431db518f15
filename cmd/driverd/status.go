// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/guest"
	"driverd/kernelbuild"
	"driverd/plan"
	"driverd/reason"
)

func statusCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the devices, those that need help first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var report statusReport
			err := c.with(cmd.Context(), func(client *api.Client) (err error) {
				if report, err = statusOf(cmd.Context(), client); err != nil {
					return err
				}
				report.NextKernel, err = guest.FindNextKernel(filepath.Join(c.root, "lib/modules"), report.KernelRelease, report.Devices)
				return err
			})
			if errors.Is(err, api.ErrNoService) {
				if closed := c.gate(); closed != nil {
					report, err = inactive(closed), nil
				}
			}
			if err != nil {
				return err
			}
			if err := c.printStatus(report, asJSON); err != nil {
				return status{exitFailed, err}
			}
			if report.Status == string(daemon.Inactive) {
				return status{code: exitBlocked}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	return cmd
}

// statusReport is the JSON of driverd status.
type statusReport struct {
	api.Manager
	Devices []api.Device `json:"devices"`
	Jobs    []api.Job    `json:"jobs"`

	// NextKernel is nil if the newest one runs.
	NextKernel *guest.NextKernel `json:"next_kernel,omitempty"`
}

func statusOf(ctx context.Context, client *api.Client) (report statusReport, err error) {
	if report.Manager, err = client.Manager(ctx); err != nil {
		return report, err
	}
	if report.Devices, err = client.Devices(ctx); err != nil {
		return report, err
	}
	report.Jobs, err = client.Jobs(ctx)
	return report, err
}

func (c console) printStatus(r statusReport, asJSON bool) error {
	if asJSON {
		return c.printJSON(r)
	}
	return c.print(c.statusText(r))
}

// inactive is what the service would say of itself behind a closed gate, for
// where it does not even run.
func inactive(closed error) statusReport {
	release, _ := guest.RunningKernel()
	return statusReport{Devices: []api.Device{}, Jobs: []api.Job{}, Manager: api.Manager{
		Version: version, KernelRelease: release, Platform: "unknown", Backend: "none", Mode: string(daemon.Auto),
		Status: string(daemon.Inactive), Reason: string(reason.Of(closed)), Message: closed.Error(), Counts: map[string]uint32{},
	}}
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
