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
	return image.with(ctx, "foreign-boot", kernel, slices.Concat(initrdModules, []string{"virtio_net", "virtio_console"}))
}

// with returns the image with another kernel to boot it with, and an initrd of these
// modules, in a stage of the given name.
func (image *Image) with(ctx context.Context, name string, kernel kernelFiles, modules []string) (*Image, error) {
	boot, err := bootFiles(ctx, name, kernel, modules)
	if err != nil {
		return nil, err
	}
	other := *image
	other.Kernel, other.Initrd, other.Release = filepath.Join(boot, "vmlinuz"), filepath.Join(boot, "initrd"), kernel.release
	return &other, nil
}
