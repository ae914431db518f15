// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/internal/printable"
)

func installCommand(c console) *cobra.Command {
	var noWait, downloadOnly bool
	cmd := &cobra.Command{
		Use:   "install [SELECTOR...]",
		Short: "Install and load what is selected",
		Long: "Install and load what is selected, also in observe mode, and wait until it is\ndone. An interrupt (Ctrl-C) cancels it as long as nothing has been changed.\n\n" +
			selectors,
		Example:           "  driverd install 0000:01:00.0\n  driverd install sriov 'kmod(nvme.ko)'",
		ValidArgsFunction: c.completeSelectors,
		RunE: func(cmd *cobra.Command, args []string) error {
			selectors, err := parseSelectors(args)
			if err != nil {
				return err
			}
			// An interrupt is to end the job, not the connection.
			ctx := context.WithoutCancel(cmd.Context())
			return c.asAdministrator(ctx, func(client *api.Client) error {
				selectors, err := inDomains(ctx, client, selectors)
				if err != nil {
					return err
				}
				job, err := client.Install(ctx, selectors, api.InstallOptions{DownloadOnly: downloadOnly})
				if err != nil || noWait {
					return errors.Join(err, c.begun(job))
				}
				w := waiting{progress{console: c}, client, job}
				return w.until(ctx, cmd.Context())
			})
		},
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "only begin it, and print its D-Bus path")
	cmd.Flags().BoolVar(&downloadOnly, "download-only", false, "leave the packages in the package manager's cache")
	return cmd
}

// begun prints the path of a job that nobody waits for.
func (c console) begun(job string) error {
	if job == "" {
		return nil
	}
	return c.print(job + "\n")
}

// waiting is a command that waits for a job.
type waiting struct {
	progress
	client *api.Client
	job    string
}

// until shows the job until it ends, and asks the service to cancel it when
// interrupted is done.
func (w *waiting) until(ctx, interrupted context.Context) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	stop := context.AfterFunc(interrupted, func() {
		if err := w.cancel(ctx); err != nil {
			giveUp(err)
		}
	})
	defer stop()
	for job, err := range w.client.Follow(ctx, w.job) {
		switch {
		case err != nil:
			return errors.Join(w.clear(), w.lost(cmp.Or(context.Cause(ctx), err)))
		case job.State != api.JobRunning:
			return errors.Join(w.clear(), w.ended(ctx, job))
		}
		if err := w.show(job); err != nil {
			return err
		}
	}
	return nil
}

// cancel asks the service to cancel the job, whose end is then seen. An error is
// why it goes on, and a second interrupt ends the process.
func (w *waiting) cancel(ctx context.Context) error {
	switch err := w.client.Cancel(ctx, w.job); {
	case err == nil, errors.Is(err, api.ErrRefused), errors.Is(err, api.ErrNoSuchJob): // or it has ended meanwhile
		return nil
	default:
		return status{exitFailed, fmt.Errorf("interrupted, but the job goes on: %w; to see how it ends: driverd history", err)}
	}
}

// lost is the end of the waiting when nobody can say any more how the job ended.
func (w *waiting) lost(err error) error {
	if errors.Is(err, api.ErrNoService) || errors.Is(err, api.ErrNoSuchJob) {
		return fmt.Errorf("the service has ended while the job ran, and continues when it is back; to see how it ends: driverd history: %w", err)
	}
	return err
}

// ended says what the job came to.
func (w *waiting) ended(ctx context.Context, job api.Job) error {
	switch job.State {
	case api.JobDone:
		return w.done(ctx, job)
	case api.JobCancelled:
		return status{exitFailed, fmt.Errorf("%s: nothing was changed", job.Message)}
	}
	hint := "driverd history"
	if len(job.Devices) > 0 {
		hint = "driverd explain " + job.Devices[0]
	}
	return status{exitOf(job), fmt.Errorf("%s; the whole story: %s", job.Message, hint)}
}

// done tells what was installed and which driver each device has, and of those
// that have none why.
func (w *waiting) done(ctx context.Context, job api.Job) error {
	text := strings.Join(printable.Wrap("Done: "+job.Message+".", 0), "\n") + "\n"
	devices, err := w.client.Devices(ctx)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(devices, func(d api.Device) bool {
		return d.State == "bound" || !slices.Contains(job.Devices, d.Slot)
	})
	return w.print(text + w.entries(others))
}
