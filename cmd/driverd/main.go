// SPDX-License-Identifier: Apache-2.0

// Command driverd is the driver service of a cloud guest: the daemon, the step
// that loads a driver, and what an administrator types.
package main

import (
	"context"
	"os"
	"os/signal"
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
	return run(ctx, os.Args[1:], console{
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		root:     root,
		terminal: terminal,
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
	root := statusCommand(c)
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
	root.AddCommand(statusCommand(c), explainCommand(c), planCommand(c), installCommand(c), rescanCommand(c), modeCommand(c),
		preinstallCommand(c), historyCommand(c), watchCommand(c), recordCommand(c), daemonCommand(c), loadCommand(), installStepCommand())
	return root
}
