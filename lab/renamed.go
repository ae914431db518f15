// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"driverd/lab/stage"
)

// renamed returns the kernel in the name of another release, in a stage of the given name:
// uname says so, and its modules lie where that kernel looks for them.
func (k kernelFiles) renamed(ctx context.Context, name, release string) (kernelFiles, error) {
	dir, err := stage.Get(ctx, name, []string{k.modules, release}, func(ctx context.Context, dir string) error {
		modules := filepath.Join(dir, "usr/lib/modules", release)
		if err := os.MkdirAll(filepath.Dir(modules), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/lib", filepath.Join(dir, "lib")); err != nil {
			return err
		}
		if err := run(ctx, exec.CommandContext(ctx, "cp", "-r", k.modules, modules)); err != nil {
			return err
		}
		if err := run(ctx, exec.CommandContext(ctx, "depmod", "-b", dir, release)); err != nil {
			return err
		}
		config, err := os.ReadFile(k.config)
		if err != nil {
			return err
		}
		image, err := os.ReadFile(k.vmlinuz)
		if err != nil {
			return err
		}
		if image, err = withRelease(image, k.release, release); err != nil {
			return fmt.Errorf("cannot rename %s: %w", k.vmlinuz, err)
		}
		return errors.Join(os.WriteFile(filepath.Join(modules, "config"), config, 0o644),
			os.WriteFile(filepath.Join(modules, "vmlinuz"), image, 0o644))
	})
	if err != nil {
		return kernelFiles{}, err
	}
	files, err := rootKernel(dir)
	files.arch = k.arch
	return files, err
}

// withRelease changes what uname says of a kernel, in its image, which is not compressed.
// Each field of the kernel's struct new_utsname has 65 bytes; before the release there is
// the name of the node. There can be two: one that gets the number of the build when the
// kernel is linked, and one that it takes the place of. What modules are compared with lies
// elsewhere, and stays.
func withRelease(image []byte, from, to string) ([]byte, error) {
	const size = 65
	if len(to) >= size {
		return nil, fmt.Errorf("%s is too long for a release", to)
	}
	fields := func(release string) []byte {
		text := make([]byte, 2*size)
		copy(text, "(none)")
		copy(text[size:], release)
		return text
	}
	if !bytes.Contains(image, fields(from)) {
		return nil, fmt.Errorf("%s is nowhere that uname could read it", from)
	}
	return bytes.ReplaceAll(image, fields(from), fields(to)), nil
}
