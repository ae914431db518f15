// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"driverd/daemon/journal"
	"driverd/daemon/load"
	"driverd/hwdetect"
	"driverd/reason"
)

func loadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "load SLOT",
		Short: "Load the driver of one device (what driverd-load@.service does)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			slot, err := hwdetect.ParseSlot(args[0])
			if err != nil {
				return status{exitUsage, err}
			}
			release, err := kernelRelease()
			if err == nil {
				err = load.Step(cmd.Context(), release, slot)
			}
			if err != nil {
				log := journal.New(zerolog.InfoLevel)
				log.Error().Str("event", "load-failed").Stringer("slot", slot).
					Str("reason", string(reason.Of(err))).Msg(err.Error())
				return status{code: load.ExitStatus(err)}
			}
			return nil
		},
	}
}
