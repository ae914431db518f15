// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	_ "embed" // for memory.sh
	"os/exec"
	"path/filepath"

	"driverd/lab/stage"
)

//go:embed memory.sh
var memoryScript string

// InMemory returns an image whose guest has no disk: the initrd is all that is on
// the other's, but for what it can do without. It boots without a single module,
// which no disk of QEMU's does with a distribution's kernel; nor does a network
// card, or the port that the agent has elsewhere. Options.Files are for a disk.
func InMemory(ctx context.Context, image *Image) (*Image, error) {
	dir, err := stage.Get(ctx, "memory", []string{image.Disk, memoryScript}, func(ctx context.Context, dir string) error {
		if err := needRoot("guest in memory"); err != nil {
			return err
		}
		return run(ctx, exec.CommandContext(ctx, "sh", "-c", memoryScript, "memory.sh", image.Disk, dir))
	})
	if err != nil {
		return nil, err
	}
	memory := *image
	memory.like = image
	memory.Disk, memory.Initrd = "", filepath.Join(dir, "initrd")
	return &memory, nil
}
