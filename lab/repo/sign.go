// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"driverd/lab/rpmrepo"
)

// sign signs every RPM in dir with a new key, and leaves only its public half.
func sign(ctx context.Context, work, dir, public string) (err error) {
	key, err := rpmrepo.NewKey(ctx, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, key.Close()) }()
	if err := os.WriteFile(public, key.Public, 0o644); err != nil {
		return err
	}
	rpms, err := filepath.Glob(filepath.Join(dir, "*.rpm"))
	if err != nil {
		return err
	}
	return key.Sign(ctx, rpms...)
}
