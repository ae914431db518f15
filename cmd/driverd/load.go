// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"driverd/daemon/config"
	"driverd/daemon/journal"
	"driverd/daemon/load"
	"driverd/hwdetect"
	"driverd/hwdetect/kmsg"
	"driverd/internal/guest"
	"driverd/reason"
)

func loadCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "load SLOT",
		Short:  "Load the driver of one device (what driverd-load@.service does)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			slot, err := hwdetect.ParseSlot(args[0])
			if err != nil {
				return status{exitUsage, err}
			}
			log := journal.New(zerolog.InfoLevel)
			if err := loadStep(cmd.Context(), slot, log); err != nil {
				log.Error().Str("event", "load-failed").Stringer("slot", slot).Msg(err.Error())
				return status{code: exitFailed}
			}
			return nil
		},
	}
}

// loadStep runs the load step. Under systemd, which names a folder for it, its
// outcome is left there, and only what keeps it from that is an error.
func loadStep(ctx context.Context, slot hwdetect.Slot, log zerolog.Logger) error {
	outcomes := load.Outcomes{Dir: os.Getenv("RUNTIME_DIRECTORY")}
	if outcomes.Dir != "" {
		if err := outcomes.Write(slot, nil); err != nil {
			return err
		}
	}
	if !load.AwaitRelease(ctx, slot) {
		return nil
	}
	release, err := guest.RunningKernel()
	var configured config.Config
	if err == nil {
		if configured, err = config.Load("/"); err != nil {
			err = reason.With(reason.ObserveOnly, fmt.Errorf("the configuration has an error, see driverd check-config: %w", err))
		}
	}
	if err == nil {
		err = load.Step(ctx, release, slot, kmsg.Inherit(int(os.Stdin.Fd())), configured.Policy)
	}
	if err == nil || outcomes.Dir == "" {
		return err
	}
	log.Error().Str("event", "load-failed").Stringer("slot", slot).Str("reason", string(reason.Of(err))).Msgf("%s: %v", slot, err)
	return outcomes.Write(slot, err)
}
