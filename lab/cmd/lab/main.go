// SPDX-License-Identifier: Apache-2.0

// Command lab builds the guest that driverd is tried in, and boots one for a
// person to look around. It is run inside driverd's source tree:
//
//	go run ./lab/cmd/lab host          install what is needed on this machine
//	go run ./lab/cmd/lab page          build the page for Cockpit, and print its folder
//	go run ./lab/cmd/lab repo          the same, and build what is needed of no RPM
//	go run ./lab/cmd/lab build [RPM]   the same, and build every stage
//	go run ./lab/cmd/lab boot [RPM]    the same, then a guest on this terminal,
//	                                   logged in as root; Ctrl-A X ends it
//	go run ./lab/cmd/lab cross ARCHITECTURE COMMAND [ARGUMENT...]
//	                                   run a command that builds programs with cgo for
//	                                   another architecture, as RPM names it: aarch64, i686
//
// RPM is driverd's package; without it the guest is without driverd.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"driverd/lab"
)

const usage = "usage: lab host | page | repo | build [RPM] | boot [RPM] | cross ARCHITECTURE COMMAND [ARGUMENT...]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, errUsage) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New(usage)

func run(ctx context.Context, args []string) error {
	if len(args) > 2 && args[0] == "cross" {
		return cross(ctx, args[1], args[2:])
	}
	if len(args) < 1 || len(args) > 2 {
		return errUsage
	}
	rpm := ""
	if len(args) == 2 {
		rpm = args[1]
	}
	switch {
	case args[0] == "host" && rpm == "":
		return lab.Prepare(ctx)
	case args[0] == "page" && rpm == "":
		dir, err := lab.Page(ctx)
		if err == nil {
			fmt.Println(dir)
		}
		return err
	case args[0] == "repo" && rpm == "":
		if err := lab.Prepare(ctx); err != nil {
			return err
		}
		return lab.Ground(ctx)
	case args[0] == "build", args[0] == "boot":
		if err := lab.Prepare(ctx); err != nil {
			return err
		}
		image, err := lab.BuildImage(ctx, rpm)
		if err == nil && args[0] == "boot" {
			err = boot(ctx, image)
		}
		return err
	}
	return errUsage
}

func boot(ctx context.Context, image *lab.Image) (err error) {
	guest, err := lab.Boot(ctx, lab.Options{Image: image}, lab.Start{Terminal: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guest.Close()) }()
	fmt.Fprintf(os.Stderr, "lab: QEMU's QMP socket is %s\r\n", guest.QMPSocket())
	return guest.Wait(ctx)
}

// cross runs a command that builds for another architecture.
func cross(ctx context.Context, architecture string, command []string) error {
	others := []lab.Architecture{lab.AArch64, lab.I386}
	i := slices.IndexFunc(others, func(a lab.Architecture) bool { return a.RPM == architecture })
	if i < 0 {
		return fmt.Errorf("cannot build for %q: want %s or %s", architecture, others[0].RPM, others[1].RPM)
	}
	env, err := others[i].Environment(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot run %s for %s: %w", command[0], architecture, err)
	}
	return nil
}
