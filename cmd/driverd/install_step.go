// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"driverd/daemon/config"
	"driverd/daemon/install"
	"driverd/daemon/journal"
	"driverd/dnfbridge"
	"driverd/internal/guest"
)

// serviceUser is the user of the service.
const serviceUser = "driverd"

func installStepCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "install-step JOB",
		Short:  "Install the packages of one job (what driverd-install@.service does)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := install.ParseJob(args[0])
			if err != nil {
				return status{exitUsage, err}
			}
			log := journal.New(zerolog.InfoLevel)
			if err := installStep(cmd.Context(), job, log); err != nil {
				log.Error().Str("event", "install-failed").Msg(err.Error())
				return status{code: exitFailed}
			}
			return nil
		},
	}
}

// installStep runs the step of a job. Under systemd, which names a folder for it, its
// outcome is left there.
func installStep(ctx context.Context, job uint64, log zerolog.Logger) error {
	running, err := guest.RunningKernel()
	if err != nil {
		return err
	}
	kernels := []string{running}
	if next := guest.NextRelease("/", running); next != running {
		kernels = append(kernels, next)
	}
	owner, err := user.Lookup(serviceUser)
	if err != nil {
		return fmt.Errorf("cannot tell the user of the service: %w", err)
	}
	uid, err := strconv.ParseUint(owner.Uid, 10, 32)
	if err != nil {
		return fmt.Errorf("cannot tell the user of the service: %w", err)
	}
	return install.Step{
		Job: job, User: uint32(uid), Kernels: kernels, Outcomes: os.Getenv("RUNTIME_DIRECTORY"),
		DNF:    dnfbridge.NewDNF5(dnfbridge.SystemBus, log),
		Config: func() (config.Config, error) { return config.Load("/") },
		Log:    log,
	}.Run(ctx)
}
