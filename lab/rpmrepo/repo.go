// SPDX-License-Identifier: Apache-2.0

package rpmrepo

import (
	"context"
	"fmt"
	"os/exec"
)

// Build makes the RPMs of pkgs in dir, which must exist, and the metadata of a
// repository over them.
func Build(ctx context.Context, dir string, key *Key, pkgs []Package) error {
	for _, p := range pkgs {
		if err := p.build(ctx, dir, key); err != nil {
			return fmt.Errorf("cannot build %s: %w", p.NEVRA(), err)
		}
	}
	if err := run(exec.CommandContext(ctx, "createrepo_c", "--quiet", "--workers=2", dir)); err != nil {
		return fmt.Errorf("cannot make a repository of %s: %w", dir, err)
	}
	return nil
}
