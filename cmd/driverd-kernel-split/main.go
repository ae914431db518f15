// SPDX-License-Identifier: Apache-2.0

// Command driverd-kernel-split divides a built kernel's module tree into
// subpackages, and writes what the kernel's RPM spec includes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"driverd/packaging/kernel"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rulesFile := flag.String("rules", "", "rules `FILE` (default: the built-in rules)")
	flag.Usage = func() {
		_, _ = fmt.Fprintf(flag.CommandLine.Output(), "Usage: %s [-rules FILE] /lib/modules/RELEASE OUTDIR\n", os.Args[0])
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(ctx, *rulesFile, flag.Arg(0), flag.Arg(1), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "driverd-kernel-split: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rulesFile, treeDir, outDir string, out io.Writer) error {
	rules := kernel.DefaultRules()
	if rulesFile != "" {
		text, err := os.ReadFile(rulesFile)
		if err != nil {
			return fmt.Errorf("cannot read rules: %w", err)
		}
		if rules, err = kernel.ParseRules(string(text)); err != nil {
			return fmt.Errorf("%s: %w", rulesFile, err)
		}
	}
	tree, err := kernel.ReadTree(ctx, treeDir)
	if err != nil {
		return err
	}
	split, err := kernel.Divide(tree.Release, tree.Modules, rules)
	if err != nil {
		return err
	}
	if err := split.Write(outDir); err != nil {
		return err
	}
	return report(split, out)
}

func report(split *kernel.Split, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "group\tmodules\tMB\tmoved here\t")
	for _, g := range kernel.Groups() {
		var size int64
		var count, moved int
		for _, p := range split.Placements {
			if p.Group != g {
				continue
			}
			count++
			size += p.Size
			if p.For != nil {
				moved++
			}
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t%.1f\t%d\t\n", g, count, float64(size)/1e6, moved)
	}
	return table.Flush()
}
