// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/report"
)

func rescanCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rescan",
		Short: "Look at the hardware now, and retry what failed",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			return c.asAdministrator(ctx, func(client *api.Client) error {
				if err := client.Rescan(ctx); err != nil || !asJSON {
					return err
				}
				seen, err := report.ReadStatus(ctx, client)
				if err != nil {
					return err
				}
				return c.printJSON(seen)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the status for programs; see driverd(1)")
	return cmd
}
