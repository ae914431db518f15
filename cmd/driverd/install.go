// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"driverd/api"
)

func installCommand(c console) *cobra.Command {
	var i installation
	cmd := &cobra.Command{
		Use:   "install [SELECTOR...]",
		Short: "Install drivers and load them",
		Long: "Install and load what the selectors name, also in mode observe, and wait until\nthe devices are bound. Ctrl-C cancels it if nothing has been changed yet.\n" +
			"Without a SELECTOR, on a terminal, it first shows what it will do and asks.\n\n" +
			selectors,
		Example:           "  driverd install 0000:01:00.0\n  driverd install sriov 'kmod(nvme.ko)'",
		ValidArgsFunction: c.completeSelectors,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			i.console = c
			if i.selectors, err = parseSelectors(args); err != nil {
				return err
			}
			return i.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&i.noWait, "no-wait", false, "start the job, print its D-Bus path and return")
	cmd.Flags().BoolVar(&i.downloadOnly, "download-only", false, "only download, into the package manager's cache")
	cmd.Flags().BoolVarP(&i.yes, "yes", "y", false, "do not ask for confirmation")
	cmd.Flags().BoolVar(&i.asJSON, "json", false, "print the job for programs; see driverd(1)")
	return cmd
}

// installation is what driverd install is to do.
type installation struct {
	console
	selectors                         []string
	noWait, downloadOnly, yes, asJSON bool
}

func (i installation) run(interrupted context.Context) error {
	// An interrupt is to end the job, not the connection.
	ctx := context.WithoutCancel(interrupted)
	return i.asAdministrator(ctx, func(client *api.Client) error {
		selectors, err := inDomains(ctx, client, i.selectors)
		if err != nil {
			return err
		}
		if len(selectors) == 0 && i.person && i.terminal && !i.yes && !i.asJSON {
			if err := i.confirm(interrupted, client); err != nil {
				return err
			}
		}
		path, err := client.Install(ctx, selectors, api.InstallOptions{DownloadOnly: i.downloadOnly})
		switch {
		case err != nil:
			return err
		case i.noWait:
			return i.begun(ctx, client, path)
		}
		w := waiting{progress{console: i.console}, client, path, i.asJSON}
		return w.until(ctx, interrupted)
	})
}

// confirm asks whether what the devices need is to be installed, if that is anything.
func (i installation) confirm(ctx context.Context, client *api.Client) error {
	p, err := client.Plan(ctx, nil)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(p.Packages, func(p api.Package) bool { return !p.Installed }) {
		return nil
	}
	if err := i.print(i.costText(p) + "Install this? [y/N] "); err != nil {
		return err
	}
	answer, err := interruptible(ctx, func() (string, error) {
		line, err := bufio.NewReader(i.stdin).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil // an answer like any other
		}
		return line, err
	})
	if err != nil {
		return fmt.Errorf("cannot read the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return status{exitFailed, errors.New("not confirmed: nothing was changed")}
	}
	return nil
}

// begun prints a job that nobody waits for: its path.
func (i installation) begun(ctx context.Context, client *api.Client, path string) error {
	if !i.asJSON {
		return i.print(path + "\n")
	}
	job, err := client.Job(ctx, path)
	if err != nil {
		return err
	}
	return i.printJSON(job)
}

// waiting is a command that waits for a job.
type waiting struct {
	progress
	client *api.Client
	job    string
	asJSON bool // the end alone is shown
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
		if w.asJSON {
			continue
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
		return status{exitFailed, fmt.Errorf("interrupted, but the job continues: %w; to see how it ends: driverd history", err)}
	}
}

// lost is the end of the waiting when nobody can say any more how the job ended.
func (w *waiting) lost(err error) error {
	if errors.Is(err, api.ErrNoService) || errors.Is(err, api.ErrNoSuchJob) {
		return fmt.Errorf("the service ended during the job, and continues it after its restart: %w; to see how it ends: driverd history", err)
	}
	return err
}

// ended says what the job came to.
func (w *waiting) ended(ctx context.Context, job api.Job) error {
	if w.asJSON {
		if err := w.printJSON(job); err != nil || job.State == api.JobDone {
			return err
		}
	}
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
	return status{exitOf(job), fmt.Errorf("%s; for details: %s", job.Message, hint)}
}

// done tells what was installed and which driver each device has, and of those
// that have none why.
func (w *waiting) done(ctx context.Context, job api.Job) error {
	text := w.wrapped("Done: "+job.Message+".", 0) + "\n"
	devices, err := w.client.Devices(ctx)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(devices, func(d api.Device) bool {
		return d.State == "bound" || !slices.Contains(job.Devices, d.Slot)
	})
	return w.print(text + w.entries(others))
}
