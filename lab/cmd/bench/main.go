// SPDX-License-Identifier: Apache-2.0

// Command bench measures driverd beside its peers: it prints a table, and
// writes it to dist/bench.md and dist/bench.json, and timelines as pictures
// beside them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"driverd/lab"
	"driverd/lab/bench"
)

// patience is for all of it, on a slow machine.
const patience = 60 * time.Minute

func main() {
	var names []string
	for _, p := range bench.Parts() {
		names = append(names, p.Name)
	}
	repetitions := flag.Int("n", 5, "`repetitions` of what varies")
	part := flag.String("part", "", "run these parts alone: some of "+strings.Join(names, ","))
	flag.Parse()
	only := strings.FieldsFunc(*part, func(r rune) bool { return r == ',' })
	unknown := slices.ContainsFunc(only, func(name string) bool { return !slices.Contains(names, name) })
	if flag.NArg() != 1 || *repetitions < 1 || unknown {
		fmt.Fprintln(os.Stderr, "usage: bench [-n REPETITIONS] [-part "+strings.Join(names, ",")+"] DRIVERD.rpm")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := measure(ctx, bench.Options{RPM: flag.Arg(0), Repetitions: *repetitions}, only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measure runs the parts with these names, all if there are none.
func measure(ctx context.Context, o bench.Options, only []string) error {
	if err := lab.Prepare(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("more than %s have passed", patience))
	defer cancel()
	var figures []bench.Figure
	var problems []error
	for _, p := range bench.Parts() {
		if len(only) > 0 && !slices.Contains(only, p.Name) || ctx.Err() != nil {
			continue
		}
		fmt.Printf("bench: measuring %s\n", p.Name)
		start := time.Now()
		report, err := p.Run(ctx, o)
		if err != nil { // what has been measured, and the other parts, are worth showing all the same
			err = fmt.Errorf("cannot measure %s: %w", p.Name, err)
			fmt.Printf("bench: %v\n", err)
		}
		fmt.Printf("bench: %s took %.0f s\n", p.Name, time.Since(start).Seconds())
		figures = append(figures, report.Figures...)
		problems = append(problems, err, bench.Table(os.Stdout, report.Figures))
		for name, timeline := range report.Timelines {
			if err != nil {
				break // they are of what came to its end
			}
			problems = append(problems, timeline.WriteSVG(filepath.Join("dist", name+".svg")))
		}
	}
	table, err := os.Create("dist/bench.md")
	if err != nil {
		return err
	}
	fmt.Println("bench: all figures")
	return errors.Join(append(problems,
		bench.Table(io.MultiWriter(os.Stdout, table), figures), table.Close(),
		bench.WriteJSON("dist/bench.json", figures))...)
}
