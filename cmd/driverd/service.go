// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"driverd/daemon/journal"
	"driverd/internal/service"
	"driverd/reason"
)

func daemonCommand(c console) *cobra.Command {
	var check bool
	var root string
	cmd := &cobra.Command{
		Use:    "daemon",
		Short:  "Run the service (what driverd.service does)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return c.checkConfig(cmd.Context(), root, false)
			}
			log, end := journal.NewQueued(zerolog.InfoLevel)
			defer end()
			err := service.Run(cmd.Context(), version, log)
			if errors.Is(err, service.ErrAgain) {
				log.Info().Str("event", "not-at-rest").Msgf("%v: it starts again", err)
				return status{code: exitAgain}
			}
			if err != nil {
				log.Error().Str("event", "service-failed").Str("reason", string(reason.Of(err))).Msg(err.Error())
				return status{code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check-config", false, "driverd check-config")
	cmd.Flags().StringVar(&root, "root", "/", "with --check-config: of the tree in `DIR`")
	for _, old := range []string{"check-config", "root"} { // driverd check-config
		_ = cmd.Flags().MarkHidden(old)
	}
	return cmd
}
