// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"slices"

	packaging "driverd/kernelsplit"
	"driverd/lab/repo"
)

// largePages is what Fedora and EL call the variant of a kernel with pages of 64 KiB.
const largePages = "64k"

// PrepareARM64 is Prepare for what builds and emulates a guest of AArch64.
func PrepareARM64(ctx context.Context) error {
	return Prepare(ctx, "qemu-system-arm/bookworm-backports")
}

// BuildARM64Image makes the disk of a guest of AArch64 with cloud-init and these packages.
// It has two kernels, one of them in the name of the variant with large pages, and its
// repository has the drivers of both. Of other hardware there is but a little.
func BuildARM64Image(ctx context.Context, rpms ...string) (*Image, error) {
	kernel, large, err := pageSizes(ctx)
	if err != nil {
		return nil, err
	}
	var kernels []repo.Kernel
	for _, files := range []kernelFiles{kernel, large} {
		packed, err := files.packed()
		if err != nil {
			return nil, err
		}
		packed.Hardware = leanHardware
		kernels = append(kernels, packed)
	}
	kernels[1].Variant = largePages
	packages, err := buildRepo(ctx, "arm64-repo", repo.Input{Kernels: kernels, Newer: true})
	if err != nil {
		return nil, err
	}
	root, err := buildRoot(ctx, "cloud-root", slices.Concat(rootPackages, cloudPackages)...)
	if err != nil {
		return nil, err
	}
	capability := packaging.CapabilityVersion(large.release)
	both := fmt.Sprintf(`dnf5 -y --forcearch=%[1]s install "kernel-%[2]s-core-uname-r = %[3]s" "kernel-%[2]s-modules-core-uname-r = %[3]s"`,
		AArch64.RPM, largePages, capability)
	return buildImage(ctx, "arm64-", root, packages, kernel, both, rpms...)
}

// WithLargePages returns BuildARM64Image's image with the other kernel to boot it with. Its
// pages have the usual size: only its name is that of the variant.
func WithLargePages(ctx context.Context, image *Image) (*Image, error) {
	_, large, err := pageSizes(ctx)
	if err != nil {
		return nil, err
	}
	return image.with(ctx, "arm64-64k-boot", large, initrdModules)
}

// pageSizes returns Debian's kernel for AArch64, and the same in the name of the variant
// with large pages.
func pageSizes(ctx context.Context) (kernel, large kernelFiles, err error) {
	if kernel, err = ARM64.files(ctx); err != nil {
		return kernel, large, err
	}
	large, err = kernel.renamed(ctx, "kernel-64k", kernel.release+"+"+largePages)
	return kernel, large, err
}
