// SPDX-License-Identifier: Apache-2.0

// Command driverd-kernel-split divides a built kernel's module tree into
// subpackages. It writes what the kernel's RPM spec includes, or the same
// placement as rules for the tool that Fedora's kernel is divided with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"driverd/kernelsplit"
)

const usage = `Usage: driverd-kernel-split [OPTION...] COMMAND /lib/modules/RELEASE ...

  write TREE DIR      write what the kernel's spec includes into DIR, a new
                      folder, and print the report
  rules TREE...       print the placement as rules for another tool
  report TREE         print modules and sizes of each subpackage
  why TREE MODULE...  say what put modules where they are
`

// options are those of the command line.
type options struct{ rules, variant, format string }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, args, err := parseArgs(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		os.Exit(2)
	case !wellFormed(args) || o.format != defVariants:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := run(ctx, o, args, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "driverd-kernel-split: %v\n", err)
		os.Exit(1)
	}
}

const defVariants = "def_variants"

// parseArgs reads the command line. Options may stand after the command, too.
func parseArgs(line []string) (o options, args []string, err error) {
	flags := flag.NewFlagSet("driverd-kernel-split", flag.ContinueOnError)
	flags.StringVar(&o.rules, "rules", "", "rules `FILE` (default: the built-in rules)")
	flags.StringVar(&o.variant, "variant", "", "the kernel's variant, as the names of its packages have it: `NAME` is 64k, rt, 64k-debug")
	flags.StringVar(&o.format, "format", defVariants, "`FORMAT` of the rules: def_variants, for filtermods.py of Fedora's kernel")
	flags.Usage = func() {
		_, _ = fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	for {
		if err := flags.Parse(line); err != nil || flags.NArg() == 0 {
			return o, args, err
		}
		args, line = append(args, flags.Arg(0)), flags.Args()[1:]
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
	case "rules":
		return len(args) > 1
	case "why":
		return len(args) > 2
	default:
		return false
	}
}

func run(ctx context.Context, o options, args []string, out, hints io.Writer) error {
	rules := kernelsplit.DefaultRules()
	if o.rules != "" {
		text, err := os.ReadFile(o.rules)
		if err != nil {
			return fmt.Errorf("cannot read rules: %w", err)
		}
		if rules, err = kernelsplit.ParseRules(string(text)); err != nil {
			return fmt.Errorf("%s: %w", o.rules, err)
		}
	}
	if args[0] == "rules" {
		return writeRules(ctx, o, rules, args[1:], out, hints)
	}
	tree, split, err := divide(ctx, o, rules, args[1])
	if err != nil {
		return err
	}
	if args[0] == "why" {
		return why(split, args[2:], out)
	}
	if err := check(split, hints); err != nil {
		return err
	}
	if args[0] == "write" {
		if err := split.Write(args[2]); err != nil {
			return err
		}
	}
	packed, err := tree.Compress(ctx)
	if err != nil {
		return err
	}
	return split.Report(out, packed)
}

func divide(ctx context.Context, o options, rules kernelsplit.Rules, dir string) (*kernelsplit.Tree, *kernelsplit.Split, error) {
	tree, err := kernelsplit.ReadTree(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	if o.variant != "" && !strings.HasSuffix(tree.Release, "+"+o.variant) {
		return nil, nil, fmt.Errorf("cannot divide %s as variant %s: its release does not end in +%s", dir, o.variant, o.variant)
	}
	split, err := kernelsplit.Divide(tree.Release, tree.Modules, rules)
	if err != nil {
		return nil, nil, err
	}
	split.Variant = o.variant
	return tree, split, nil
}

// check holds the split against what guests need, and names what no rule knows.
func check(split *kernelsplit.Split, hints io.Writer) error {
	for _, m := range split.Unknown() {
		_, _ = fmt.Fprintf(hints, "hint: no rule matches %s: it is in %s; a rule may say else, as in \"%s name=%s\"\n",
			m.Path, kernelsplit.Unknown.Group, kernelsplit.Base, m.Name())
	}
	return split.Check()
}

func writeRules(ctx context.Context, o options, rules kernelsplit.Rules, dirs []string, out, hints io.Writer) error {
	var splits []*kernelsplit.Split
	for _, dir := range dirs {
		_, split, err := divide(ctx, o, rules, dir)
		if err != nil {
			return err
		}
		if err := check(split, hints); err != nil {
			return err
		}
		splits = append(splits, split)
	}
	_, err := io.WriteString(out, kernelsplit.DefVariants(splits...))
	return err
}

func why(split *kernelsplit.Split, modules []string, out io.Writer) error {
	for _, module := range modules {
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
