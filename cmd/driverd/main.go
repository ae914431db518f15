// SPDX-License-Identifier: Apache-2.0

// Command driverd is the driver service of a cloud guest: the daemon and the
// step that loads a driver.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// version is set by the build.
var version = "devel"

// The exit statuses of the command line.
const (
	exitFailed = 1
	exitUsage  = 2
)

// status is an error that says which exit status it asks for.
type status struct {
	code int
	err  error
}

func (s status) Error() string { return s.err.Error() }
func (s status) Unwrap() error { return s.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use:               "driverd",
		Short:             "The driver service of a cloud guest",
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddCommand(daemonCommand(), loadCommand())
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "driverd:", err)
	var s status
	if errors.As(err, &s) {
		return s.code
	}
	return exitUsage // what cobra itself complains of
}

// kernelRelease returns the release of the running kernel, as uname -r does.
func kernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("cannot ask for the kernel's release: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}
