// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	_ "embed" // for i686.sh
	"fmt"
	"slices"

	packaging "driverd/kernelsplit"
	"driverd/lab/repo"
)

// largePages is what Fedora and EL call the variant of a kernel with pages of 64 KiB.
const largePages = "64k"

// PrepareGuest is Prepare for what emulates a guest of the architecture.
func (a Architecture) PrepareGuest(ctx context.Context) error {
	return Prepare(ctx, a.packages...)
}

// BuildARM64Image makes the disk of a guest of AArch64 with cloud-init and these packages.
// It has two kernels, one of them in the name of the variant with large pages, and its
// repository has the drivers of both.
func BuildARM64Image(ctx context.Context, rpms ...string) (*Image, error) {
	kernel, large, err := pageSizes(ctx)
	if err != nil {
		return nil, err
	}
	capability := packaging.CapabilityVersion(large.release)
	both := fmt.Sprintf(`dnf5 -y --forcearch=%[1]s install "kernel-%[2]s-core-uname-r = %[3]s" "kernel-%[2]s-modules-core-uname-r = %[3]s"`,
		AArch64.RPM, largePages, capability)
	return buildOtherImage(ctx, []kernelFiles{kernel, large}, both, rpms...)
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
	large.variant = largePages
	return kernel, large, err
}

//go:embed i686.sh
var i686Script string

// BuildI686Image makes the disk of a guest of 32 bits with cloud-init and these packages.
// Debian has no DNF for it: that of x86_64 runs in the guest, emulated.
func BuildI686Image(ctx context.Context, rpms ...string) (*Image, error) {
	kernel, err := I686.files(ctx)
	if err != nil {
		return nil, err
	}
	return buildOtherImage(ctx, []kernelFiles{kernel}, i686Script, rpms...)
}

// buildOtherImage makes the disk of a guest of another architecture, that of the kernels,
// of which it boots the first. Its repository has the drivers of all, and of other hardware
// but a little. The script finish is buildImage's.
func buildOtherImage(ctx context.Context, kernels []kernelFiles, finish string, rpms ...string) (*Image, error) {
	in, prefix := repo.Input{Newer: true}, kernels[0].arch.debian+"-"
	for _, kernel := range kernels {
		packed, err := kernel.packed()
		if err != nil {
			return nil, err
		}
		packed.Hardware = leanHardware
		in.Kernels = append(in.Kernels, packed)
	}
	packages, err := buildRepo(ctx, prefix+"repo", in)
	if err != nil {
		return nil, err
	}
	root, err := buildRoot(ctx, "cloud-root", slices.Concat(rootPackages, cloudPackages)...)
	if err != nil {
		return nil, err
	}
	return buildImage(ctx, prefix, root, packages, kernels[0], finish, rpms...)
}
