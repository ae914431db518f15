// SPDX-License-Identifier: Apache-2.0

// Command lab builds the guest that driverd is tried in, and boots one for a
// person to look around. It is run inside driverd's source tree:
//
//	go run ./lab/cmd/lab build [RPM]   install what is needed, build every stage
//	go run ./lab/cmd/lab boot [RPM]    the same, then a guest on this terminal,
//	                                   logged in as root; Ctrl-A X ends it
//
// RPM is driverd's package; without it the guest is without driverd.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"driverd/lab"
)

const usage = "usage: lab build|boot [RPM]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	args := os.Args[1:]
	if len(args) < 1 || len(args) > 2 || args[0] != "build" && args[0] != "boot" {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	image, err := build(ctx, args[1:])
	if err == nil && args[0] == "boot" {
		err = boot(ctx, image)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, args []string) (*lab.Image, error) {
	if err := lab.Prepare(ctx); err != nil {
		return nil, err
	}
	rpm := ""
	if len(args) > 0 {
		rpm = args[0]
	}
	return lab.BuildImage(ctx, rpm)
}

func boot(ctx context.Context, image *lab.Image) (err error) {
	guest, err := lab.Boot(ctx, lab.Options{Image: image, Terminal: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guest.Close()) }()
	fmt.Fprintf(os.Stderr, "lab: QEMU's QMP socket is %s\r\n", guest.QMPSocket())
	return guest.Wait(ctx)
}
