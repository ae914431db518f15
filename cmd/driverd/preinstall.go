// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"driverd/api"
	"driverd/daemon/config"
	"driverd/internal/guest"
	"driverd/internal/image"
	"driverd/internal/printable"
)

const (
	// preinstalled keeps what was done, so that the next boot need not do it.
	preinstalled = "/var/lib/driverd-preinstall/done"
	// busyTime is how long a service that is too busy to answer is asked again.
	busyTime = 5 * time.Minute
)

func preinstallCommand(c console) *cobra.Command {
	p := preinstall{console: c, name: "preinstall", done: preinstalled}
	var i image.Image
	cmd := &cobra.Command{
		Use:   "preinstall",
		Short: "Install what /etc/driverd/preinstall.d asks for, once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.reported(func(p preinstall) error {
				if slices.ContainsFunc(ofImages, cmd.Flags().Changed) {
					return p.image(cmd.Context(), i)
				}
				return p.run(cmd.Context())
			})
		},
	}
	p.outputFlags(cmd)
	// What driverd image does was once asked for so.
	imageFlags(cmd, &i, c.root)
	cmd.Flags().StringSliceVar(&i.Selectors, "group", nil, "")
	cmd.Flags().BoolVar(&i.DownloadOnly, "download-only", false, "")
	for _, flag := range ofImages {
		_ = cmd.Flags().MarkHidden(flag) // the flag is there
	}
	return cmd
}

// ofImages are flags of driverd preinstall that have it do what driverd image does.
var ofImages = []string{"root", "for", "group", "download-only"}

// preinstall has the service install what files ask for.
type preinstall struct {
	console
	name    string // of the command
	done    string // file that says what was done
	logFile string // where what is said goes as well, empty for nowhere
	asJSON  bool
	log     io.Writer         // logFile, opened
	report  *preinstallReport // what is printed at the end instead, if it is for programs
}

func (p preinstall) run(ctx context.Context) error {
	wish, err := config.LoadPreinstall(p.root)
	if err != nil {
		return p.failed(exitUsage, err)
	}
	if len(wish.Selectors) == 0 && !wish.Present {
		return p.say("nothing is asked for")
	}
	release, err := guest.RunningKernel()
	if err != nil {
		return p.failed(exitFailed, err)
	}
	// Another kernel needs other packages.
	done := fmt.Sprintf("%s %s\n", wish.Sum, release)
	if was, err := os.ReadFile(p.done); err == nil && string(was) == done {
		return p.say("what is asked for was done already")
	}
	if err := p.say("%s", describe(wish)); err != nil {
		return err
	}
	client, err := api.Connect(ctx, p.bus)
	if err != nil {
		return p.failed(exitNoService, err)
	}
	defer func() { _ = client.Close() }()
	client.Wake = p.atRest

	code := 0
	if len(wish.Selectors) > 0 {
		code = p.ask(ctx, client, wish.Selectors)
	}
	if wish.Present {
		code = worse(code, p.ask(ctx, client, nil))
	}
	if code != 0 {
		return status{code: code}
	}
	if err := keep(p.done, done); err != nil {
		return p.failed(exitFailed, fmt.Errorf("cannot keep what was done: %w", err))
	}
	return nil
}

func describe(wish config.Preinstall) string {
	what := wish.Selectors
	if wish.Present {
		what = append(what[:len(what):len(what)], "what the devices need that are here")
	}
	return strings.Join(wish.Files, ", ") + " asks for " + strings.Join(what, ", ")
}

func keep(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(path, []byte(text), 0o644)
}

// ask has the service install what selectors name, all that the devices need if
// there are none, waits for the end and says what came of it.
func (p preinstall) ask(ctx context.Context, client *api.Client, selectors []string) (code int) {
	job, err := p.install(ctx, client, selectors)
	refused := errors.Is(err, api.ErrNoCandidate) || errors.Is(err, api.ErrNoSuchDevice) || errors.Is(err, api.ErrRefused)
	switch {
	case refused && len(selectors) > 1:
		// One that cannot be had does not keep the others away.
		for _, s := range selectors {
			code = worse(code, p.ask(ctx, client, []string{s}))
		}
		return code
	case err != nil:
		p.note(preinstallResult{Selectors: append([]string{}, selectors...), State: api.JobFailed, Message: err.Error()})
		_ = p.say("%v", err)
		return preinstallCode(err)
	}
	p.note(preinstallResult{Selectors: append([]string{}, selectors...), Job: job.Path, State: job.State, Reason: job.Reason, Message: job.Message})
	if job.State == api.JobDone {
		_ = p.say("done: %s", job.Message)
		return 0
	}
	_ = p.say("%s (%s): %s", job.State, job.Reason, job.Message)
	return exitOf(job)
}

// install begins to install, and returns the job that has ended. A service that
// has just begun may be busy for a while, and a machine that boots is slow.
func (p preinstall) install(ctx context.Context, client *api.Client, selectors []string) (api.Job, error) {
	busy, cancel := context.WithTimeout(ctx, busyTime)
	defer cancel()
	for {
		path, err := client.Install(busy, selectors, api.InstallOptions{})
		if err == nil {
			var job api.Job
			for job, err = range client.Follow(ctx, path) {
			}
			return job, err
		}
		if !errors.Is(err, api.ErrBusy) {
			return api.Job{}, err
		}
		select {
		case <-busy.Done():
			return api.Job{}, err
		case <-time.After(time.Second):
		}
	}
}

// preinstallCode is the exit status for an error of the service. What may be
// otherwise in a minute is exitBlocked or exitNoService: the unit tries again.
func preinstallCode(err error) int {
	switch {
	case errors.Is(err, api.ErrNoCandidate), errors.Is(err, api.ErrNoSuchDevice):
		return exitUnknown
	case errors.Is(err, api.ErrRefused), errors.Is(err, api.ErrBusy), errors.Is(err, api.ErrBackendFailed),
		errors.Is(err, api.ErrNotAuthorized): // polkit lets root do everything: it could not be asked
		return exitBlocked
	case errors.Is(err, api.ErrNoService), errors.Is(err, api.ErrNoSuchJob):
		return exitNoService // it was restarted
	}
	return exitFailed
}

// worse is the exit status of two of which one may ask for another try.
func worse(a, b int) int {
	for _, code := range []int{exitNoService, exitBlocked} {
		if a == code || b == code {
			return code
		}
	}
	return max(a, b)
}

// say prints a line. Who reads it in the log of a boot wants to know whose it is.
func (p preinstall) say(format string, args ...any) error {
	text := printable.Text(fmt.Sprintf(format, args...))
	line := "driverd " + p.name + ": " + text + "\n"
	if p.log != nil {
		if _, err := io.WriteString(p.log, line); err != nil {
			return status{exitFailed, fmt.Errorf("cannot write to the log: %w", err)}
		}
	}
	if p.report != nil {
		p.report.Messages = append(p.report.Messages, text)
		return nil
	}
	if err := p.print(line); err != nil {
		return status{exitFailed, err}
	}
	return nil
}

// failed says all that is wrong, a line each.
func (p preinstall) failed(code int, err error) error {
	for problem := range strings.SplitSeq(err.Error(), "\n") {
		if err := p.say("%s", problem); err != nil {
			return err
		}
	}
	return status{code: code}
}
