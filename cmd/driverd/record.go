// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"driverd/internal/printable"
	"driverd/internal/report"
)

func recordCommand(c console) *cobra.Command {
	return &cobra.Command{
		Use:   "record DIR",
		Short: "Write what a bug report needs into an empty folder",
		Long: "Write what a bug report needs into an empty folder, which is created if missing:\n" +
			"the devices, the module index, the catalog, the configuration, and what the\n" +
			"service says and has logged. Addresses of the network and credentials are taken\n" +
			"out of it, and only its owner can read it.\n\n" +
			"To read it:  driverd explain --root DIR SLOT",
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			source := report.Source{Version: version, Root: c.root, Bus: c.bus, Gate: c.gate, AtRest: c.atRest}
			recorded, err := interruptible(cmd.Context(), func() (report.Summary, error) { return source.Record(cmd.Context(), args[0]) })
			if err != nil {
				return status{exitFailed, fmt.Errorf("cannot record: %w", err)}
			}
			if err := c.print(fmt.Sprintf("Recorded in %s: %s.\n%s", printable.Text(args[0]), recorded.Counted(), recorded.LacksText(c.columns))); err != nil {
				return status{exitFailed, err}
			}
			return nil
		},
	}
}
