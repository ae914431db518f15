// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"path/filepath"
	"slices"
)

// WithForeignKernel returns the image with a kernel of another build to boot it
// with, as a host does that brings the kernel with it. Of that kernel the guest has
// nothing on its disk: all that it can use comes in the initrd.
func WithForeignKernel(ctx context.Context, image *Image) (*Image, error) {
	kernel, err := Old.files(ctx)
	if err != nil {
		return nil, err
	}
	boot, err := bootFiles(ctx, "foreign-boot", kernel, slices.Concat(initrdModules, []string{"virtio_net", "virtio_console"}))
	if err != nil {
		return nil, err
	}
	foreign := *image
	foreign.Kernel, foreign.Initrd, foreign.Release = filepath.Join(boot, "vmlinuz"), filepath.Join(boot, "initrd"), kernel.release
	return &foreign, nil
}
