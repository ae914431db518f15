// SPDX-License-Identifier: Apache-2.0

// Command bench measures driverd beside its peers: it prints a table, and
// writes it to dist/bench.md and dist/bench.json, and the timeline of one card
// to dist/timeline.svg.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"driverd/lab"
	"driverd/lab/bench"
)

// patience is for all of it, on a slow machine.
const patience = 30 * time.Minute

func main() {
	repetitions := flag.Int("n", 3, "repetitions")
	flag.Parse()
	if flag.NArg() != 1 || *repetitions < 1 {
		fmt.Fprintln(os.Stderr, "usage: bench [-n REPETITIONS] DRIVERD.rpm")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := measure(ctx, flag.Arg(0), *repetitions)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, rpm string, repetitions int) error {
	if err := lab.Prepare(ctx); err != nil {
		return err
	}
	image, err := lab.BuildImage(ctx, rpm)
	if err != nil {
		return err
	}
	fmt.Println("bench: measuring in a guest, which takes most of the time")
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("more than %s have passed", patience))
	defer cancel()
	figures, timeline, err := bench.InGuest(ctx, image, repetitions)
	if err != nil {
		return err
	}
	fmt.Println("bench: measuring what needs none")
	micro, err := bench.Micro(ctx, repetitions)
	if err != nil {
		return err
	}
	figures = append(figures, micro...)
	table, err := os.Create("dist/bench.md")
	if err != nil {
		return err
	}
	return errors.Join(
		bench.Table(io.MultiWriter(os.Stdout, table), figures), table.Close(),
		bench.WriteJSON("dist/bench.json", figures), timeline.WriteSVG("dist/timeline.svg"))
}
