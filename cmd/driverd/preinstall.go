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
	p := preinstall{console: c, done: preinstalled}
	var i image.Image
	var log string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "preinstall",
		Short: "Install what /etc/driverd/preinstall.d asks for, once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if log != "" {
				f, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
				if err != nil {
					return status{exitFailed, fmt.Errorf("cannot open the log: %w", err)}
				}
				defer func() { _ = f.Close() }()
				p.log = f
			}
			if asJSON {
				p.report = &preinstallReport{Results: []preinstallResult{}, Messages: []string{}}
				defer func() { err = errors.Join(err, p.printReport(err == nil)) }()
			}
			offline := slices.ContainsFunc([]string{"root", "for", "group", "download-only"}, cmd.Flags().Changed)
			if !offline {
				return p.run(cmd.Context())
			}
			i.Root = p.root
			if client := p.service(cmd.Context(), i); client != nil {
				defer func() { _ = client.Close() }()
				return p.groups(cmd.Context(), client, i.Groups)
			}
			return p.build(cmd.Context(), i)
		},
	}
	cmd.Flags().StringVar(&p.root, "root", c.root, "for an image: the tree in `DIR`")
	cmd.Flags().StringVar(&i.Release, "for", "", "for an image: the `KERNEL` (default: the only one)")
	cmd.Flags().StringSliceVar(&i.Groups, "group", nil, "for an image: a `GROUP` to install")
	cmd.Flags().BoolVar(&i.DownloadOnly, "download-only", false, "for an image: lay the packages up in it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs; see driverd(1)")
	cmd.Flags().StringVar(&log, "log", "", "append what is said to `FILE` too")
	return cmd
}

// preinstall has the service install what files ask for.
type preinstall struct {
	console
	done   string            // file that says what was done
	log    io.Writer         // where what is said goes as well, nil for nowhere
	report *preinstallReport // what is printed at the end instead, if it is for programs
}

// service is a client of the service if what is asked for is the business of one that
// runs, or is at rest: for the running kernel of this very system. Else it is nil: where an image is
// made, in a chroot, there is none.
func (p preinstall) service(ctx context.Context, i image.Image) *api.Client {
	release, err := guest.RunningKernel()
	if err != nil || filepath.Clean(i.Root) != "/" || i.DownloadOnly || i.Release != "" && i.Release != release {
		return nil
	}
	client, err := api.Connect(ctx, p.bus)
	if err != nil {
		return nil
	}
	client.Wake = p.atRest
	if _, err := client.Manager(ctx); err != nil {
		_ = client.Close()
		return nil
	}
	return client
}

// groups has the service install groups, and what files ask for.
func (p preinstall) groups(ctx context.Context, client *api.Client, groups []string) error {
	wish, err := config.LoadPreinstall(p.root)
	if err != nil {
		return p.failed(exitUsage, err)
	}
	selectors := append(groups, wish.Selectors...)
	if len(selectors) == 0 {
		return p.failed(exitUsage, errors.New("nothing is asked for: say what with --group, or in /etc/driverd/preinstall.d"))
	}
	if code := p.ask(ctx, client, selectors); code != 0 {
		return status{code: code}
	}
	return nil
}

// build installs into an image, and gives the result its exit status.
func (p preinstall) build(ctx context.Context, i image.Image) error {
	i.Say = p.say
	result, err := i.Install(ctx)
	code := map[image.Result]int{image.Failed: exitFailed, image.Misused: exitUsage, image.NotKnown: exitUnknown}[result]
	switch {
	case err != nil:
		return p.failed(code, err)
	case code != 0:
		return status{code: code}
	}
	return nil
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
	case errors.Is(err, api.ErrRefused), errors.Is(err, api.ErrBusy), errors.Is(err, api.ErrBackendFailed):
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
	line := "driverd preinstall: " + text + "\n"
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
