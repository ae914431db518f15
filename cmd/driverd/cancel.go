// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/printable"
)

// cancelCommand cancels jobs that the service began, or that others asked for.
func cancelCommand(c console) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel [SLOT...]",
		Short: "Cancel the running jobs, before they change anything",
		Long: "Cancel the running jobs, or those for the devices in the given slots. A job that\n" +
			"already installs packages cannot be cancelled. The devices are left alone until\n" +
			"driverd rescan, or driverd install names them.",
		Example:           "  driverd cancel\n  driverd cancel 0000:01:00.0",
		ValidArgsFunction: c.completeSlots,
		RunE: func(cmd *cobra.Command, args []string) error {
			slots, err := parseSlots(args)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			return c.asAdministrator(ctx, func(client *api.Client) error { return c.cancel(ctx, client, slots) })
		},
	}
}

func (c console) cancel(ctx context.Context, client *api.Client, slots []string) error {
	slots, err := inDomains(ctx, client, slots)
	if err != nil {
		return err
	}
	jobs, err := client.Jobs(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, job := range jobs {
		works := func(slot string) bool { return slices.Contains(job.Devices, slot) }
		if job.State != api.JobRunning || len(slots) > 0 && !slices.ContainsFunc(slots, works) {
			continue
		}
		found = true
		err := client.Cancel(ctx, job.Path)
		if errors.Is(err, api.ErrRefused) || errors.Is(err, api.ErrNoSuchJob) {
			continue // it has ended
		}
		if err != nil {
			return err
		}
		if err := c.print("Cancelled, nothing was changed: " + printable.Text(strings.Join(job.Packages, " ")) + "\n"); err != nil {
			return err
		}
	}
	if found {
		return nil
	}
	if len(slots) > 0 {
		return status{exitUnknown, fmt.Errorf("no job is running for %s", strings.Join(slots, ", "))}
	}
	return status{exitUnknown, errors.New("no job is running")}
}
