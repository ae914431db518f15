// SPDX-License-Identifier: Apache-2.0

// Command driverd is the driver service of a cloud guest: the daemon, the step
// that loads a driver, and what an administrator types.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"driverd/internal/guest"
)

// version is set by the build.
var version = "devel"

func main() { os.Exit(begin("/")) }

// begin runs what the arguments say, on the system whose files are under root.
func begin(root string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	terminal := isTerminal(os.Stdout) && os.Getenv("TERM") != "dumb"
	width := 0
	if isTerminal(os.Stdout) {
		width = columns(os.Stdout)
	}
	return run(ctx, os.Args[1:], console{
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		root:     root,
		terminal: terminal,
		columns:  width,
		color:    terminal && os.Getenv("NO_COLOR") == "",
		person:   isTerminal(os.Stdin),
		gate:     func() error { return guest.Gate(root) },
	})
}

func run(ctx context.Context, args []string, c console) int {
	root := rootCommand(c)
	root.SetArgs(args)
	return c.exit(root.ExecuteContext(ctx))
}

func rootCommand(c console) *cobra.Command {
	c.colorFlag = new(string)
	root := statusCommand(c)
	root.PersistentFlags().StringVar(c.colorFlag, "color", colorWhen[0], "`WHEN` to use colours: "+strings.Join(colorWhen, ", "))
	_ = root.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colorWhen, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(colorWhen, *c.colorFlag) {
			return status{exitUsage, fmt.Errorf("cannot use colours %.80q: want %s", *c.colorFlag, strings.Join(colorWhen, ", "))}
		}
		return nil
	}
	root.Use = "driverd"
	root.Short = "The driver service of a cloud guest"
	root.Long = root.Short + ". Without a command it shows the status."
	root.Args = nil // cobra's own check: what is no command is said to be unknown
	root.Version = version
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.AddCommand(statusCommand(c), explainCommand(c), planCommand(c), installCommand(c), rescanCommand(c), cancelCommand(c), modeCommand(c),
		preinstallCommand(c), imageCommand(c), historyCommand(c), watchCommand(c), waitCommand(c), metricsCommand(c), checkConfigCommand(c), recordCommand(c), vendorCommand(c), daemonCommand(c), loadCommand(),
		installStepCommand(), vendorStepCommand(c))
	return root
}
