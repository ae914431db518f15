// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"

	"driverd/lab/stage"
)

// Page returns the folder of the page for Cockpit, and of what a test needs to look at
// it in a browser: what cockpit/build makes.
func Page(ctx context.Context) (string, error) {
	checkout, err := Checkout()
	if err != nil {
		return "", err
	}
	source := filepath.Join(checkout, "cockpit")
	// What whoever works on the page has fetched is no part of it.
	fetched := filepath.Join(source, "node_modules") + "/"
	sum, err := hashFiles(func(path string) bool { return !strings.HasPrefix(path, fetched) }, source)
	if err != nil {
		return "", err
	}
	return stage.Get(ctx, "page", []string{sum}, func(ctx context.Context, dir string) error {
		return run(ctx, exec.CommandContext(ctx, filepath.Join(source, "build"), dir))
	})
}
