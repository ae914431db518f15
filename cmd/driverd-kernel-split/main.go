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

	"driverd/kernelsplit"
)

const usage = `Usage: driverd-kernel-split [-rules FILE] COMMAND /lib/modules/RELEASE ...

  write TREE DIR      write what the kernel's spec includes into DIR, a new
                      folder, and print the report
  report TREE         print modules and sizes of each subpackage
  why TREE MODULE...  say what put modules where they are
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rulesFile := flag.String("rules", "", "rules `FILE` (default: the built-in rules)")
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	if !wellFormed(flag.Args()) {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(ctx, *rulesFile, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "driverd-kernel-split: %v\n", err)
		os.Exit(1)
	}
}

func wellFormed(args []string) bool {
	if len(args) == 0 {
		return false
	}
	switch args[0] {
	case "write":
		return len(args) == 3
	case "report":
		return len(args) == 2
	case "why":
		return len(args) > 2
	default:
		return false
	}
}

func run(ctx context.Context, rulesFile string, args []string, out io.Writer) error {
	rules := kernelsplit.DefaultRules()
	if rulesFile != "" {
		text, err := os.ReadFile(rulesFile)
		if err != nil {
			return fmt.Errorf("cannot read rules: %w", err)
		}
		if rules, err = kernelsplit.ParseRules(string(text)); err != nil {
			return fmt.Errorf("%s: %w", rulesFile, err)
		}
	}
	tree, err := kernelsplit.ReadTree(ctx, args[1])
	if err != nil {
		return err
	}
	split, err := kernelsplit.Divide(tree.Release, tree.Modules, rules)
	if err != nil {
		return err
	}
	switch args[0] {
	case "write":
		if err := split.Write(args[2]); err != nil {
			return err
		}
		return report(ctx, tree, split, out)
	case "report":
		return report(ctx, tree, split, out)
	default: // why
		for _, module := range args[2:] {
			text, err := split.Why(module)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(out, text); err != nil {
				return err
			}
		}
		return nil
	}
}

func report(ctx context.Context, tree *kernelsplit.Tree, split *kernelsplit.Split, out io.Writer) error {
	packed, err := tree.Compress(ctx)
	if err != nil {
		return err
	}
	return split.Report(out, packed)
}
