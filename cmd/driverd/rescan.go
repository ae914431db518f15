// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"driverd/api"
)

func rescanCommand(c console) *cobra.Command {
	return &cobra.Command{
		Use:   "rescan",
		Short: "Look at the hardware now, and try again what failed",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.asAdministrator(cmd.Context(), func(client *api.Client) error { return client.Rescan(cmd.Context()) })
		},
	}
}
