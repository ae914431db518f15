// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"driverd/daemon/config"
	"driverd/internal/printable"
)

func checkConfigCommand(c console) *cobra.Command {
	var root string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration, and show every error",
		Long: "Check driverd.toml(5) as the service would, which runs as another user. It needs\n" +
			"neither the service nor, if it may read the files, root.\n" +
			"The exit status is 1 if there is an error.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.checkConfig(cmd.Context(), root, asJSON) },
	}
	cmd.Flags().StringVar(&root, "root", "/", "of the tree in `DIR`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON; see driverd(1)")
	return cmd
}

// checkedConfig is the JSON of driverd check-config.
type checkedConfig struct {
	Files    []string `json:"files"`    // that are read
	Problems []string `json:"problems"` // each with file and line
}

// checkConfig says whether the configuration under root is good, and if not,
// all that is wrong with it: what the service would say, which runs as another user.
func (c console) checkConfig(ctx context.Context, root string, asJSON bool) error {
	found, err := interruptible(ctx, func() (config.Config, error) {
		found, err := config.Load(root)
		if !errors.Is(err, fs.ErrPermission) {
			err = errors.Join(err, config.Readable(root))
		}
		return found, err
	})
	checked := checkedConfig{Files: append([]string{}, found.Files...), Problems: []string{}}
	if err != nil {
		for problem := range strings.SplitSeq(err.Error(), "\n") {
			checked.Problems = append(checked.Problems, printable.Text(problem))
		}
	}
	if asJSON {
		err = c.printJSON(checked)
	} else {
		err = c.showCheckedConfig(checked)
	}
	switch {
	case err != nil:
		return status{exitFailed, err}
	case len(checked.Problems) > 0:
		return status{code: exitFailed}
	}
	return nil
}

func (c console) showCheckedConfig(checked checkedConfig) error {
	if len(checked.Problems) > 0 {
		_, _ = fmt.Fprintln(c.stderr, strings.Join(checked.Problems, "\n"))
		return nil
	}
	if len(checked.Files) == 0 {
		return c.print("The configuration is good; there are no files.\n")
	}
	var b strings.Builder
	b.WriteString("The configuration is good; it is read from:\n")
	for _, path := range checked.Files {
		fmt.Fprintf(&b, "  %s\n", printable.Text(path))
	}
	return c.print(b.String())
}
