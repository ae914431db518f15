// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/printable"
)

func modeCommand(c console) *cobra.Command {
	var asJSON, unset bool
	cmd := &cobra.Command{
		Use:   "mode [auto | observe]",
		Short: "Print or set the mode: auto or observe",
		Long: "Print the mode, or set it permanently. In mode auto driverd installs and loads\n" +
			"what devices need. In mode observe it only reports what it would do.",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: []string{"auto\tinstall and load what devices need", "observe\tonly report what it would do"},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if unset && len(args) > 0 {
				return status{exitUsage, errors.New("cannot set a mode and unset it")}
			}
			if len(args) > 0 && args[0] != string(daemon.Auto) && args[0] != string(daemon.Observe) {
				return status{exitUsage, fmt.Errorf("there is no mode %.80q: want %s or %s", args[0], daemon.Auto, daemon.Observe)}
			}
			if unset || len(args) > 0 {
				mode := ""
				if !unset {
					mode = args[0]
				}
				return c.asAdministrator(ctx, func(client *api.Client) error { return client.SetMode(ctx, mode) })
			}
			return c.with(ctx, func(client *api.Client) error {
				manager, err := client.Manager(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return c.printJSON(map[string]string{"mode": manager.Mode})
				}
				return c.print(printable.Text(manager.Mode) + "\n")
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	cmd.Flags().BoolVar(&unset, "unset", false, "use the mode of the configuration")
	cmd.MarkFlagsMutuallyExclusive("json", "unset")
	return cmd
}
