// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"driverd/internal/printable"
)

func recordCommand(c console) *cobra.Command {
	return &cobra.Command{
		Use:   "record DIR",
		Short: "Write what a bug report needs into an empty folder",
		Long: "Write what a bug report needs into an empty folder, which is made if need be:\n" +
			"the devices, the module index, the catalog, the configuration, and what the\n" +
			"service says and has logged. Addresses of the network are taken out of it.\n\n" +
			"To read it:  driverd explain --root DIR SLOT",
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.record(cmd.Context(), args[0])
			if err != nil {
				return status{exitFailed, fmt.Errorf("cannot record: %w", err)}
			}
			if err := c.print(fmt.Sprintf("Recorded in %s: %s.\n", printable.Text(args[0]), plural(r.devices, "device")) + r.lacksText()); err != nil {
				return status{exitFailed, err}
			}
			return nil
		},
	}
}

// record writes a record into dir. It is whole, as far as it goes, when the
// file RECORD is there.
func (c console) record(ctx context.Context, dir string) (*recorder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// Nothing is written outside of it, whoever else may write into it.
	out, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	entries, err := fs.ReadDir(out.FS(), ".")
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty: name a new folder", dir)
	}
	if err != nil {
		return nil, err
	}
	r := &recorder{console: c, out: out}
	for _, part := range []func(context.Context) error{r.hardware, r.kernel, r.configuration, r.state, r.service, r.journal, r.kernelLog} {
		if err := errors.Join(part(ctx), context.Cause(ctx)); err != nil {
			return nil, err
		}
	}
	return r, r.write("RECORD", []byte(r.about()))
}

func (r *recorder) lacksText() string {
	if len(r.lacks) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("It lacks:\n")
	for _, what := range r.lacks {
		fmt.Fprintf(&b, "  %s\n", strings.Join(wrap(what, 2), "\n  "))
	}
	return b.String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
