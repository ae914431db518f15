// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"driverd/daemon/config"
	"driverd/internal/printable"
)

// checkConfig says whether the configuration under root is good, and if not,
// all that is wrong with it: what the service would say, which runs as another user.
func (c console) checkConfig(ctx context.Context, root string) error {
	found, err := interruptible(ctx, func() (config.Config, error) {
		found, err := config.Load(root)
		if !errors.Is(err, fs.ErrPermission) {
			err = errors.Join(err, config.Readable(root))
		}
		return found, err
	})
	if err != nil {
		for problem := range strings.SplitSeq(err.Error(), "\n") {
			_, _ = fmt.Fprintf(c.stderr, "%s\n", printable.Text(problem))
		}
		return status{code: exitFailed}
	}
	var b strings.Builder
	b.WriteString("The configuration is good; ")
	if len(found.Files) == 0 {
		b.WriteString("there are no files.\n")
	} else {
		b.WriteString("it is read from:\n")
	}
	for _, path := range found.Files {
		fmt.Fprintf(&b, "  %s\n", printable.Text(path))
	}
	if err := c.print(b.String()); err != nil {
		return status{exitFailed, err}
	}
	return nil
}
