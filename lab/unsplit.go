// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"

	"driverd/lab/repo"
)

// leanHardware is what kernel-modules of the unsplit guest's kernels drives. All of
// it takes minutes to install under software emulation.
var leanHardware = []string{"sdhci_pci"}

// BuildUnsplitImage makes the disk of a guest that has an old kernel, divided
// as Fedora does it today: it has kernel-core and kernel-modules-core of it
// installed. kernel-core says which symbols the kernel exports, as EL's does. Its
// repository has the rest of that kernel, and the guest's own kernel, split: what
// BuildImage's guest boots. The packages of the split one do not say which devices
// they are for: its index of the build does. Of other hardware there is but a little.
func BuildUnsplitImage(ctx context.Context, rpm string) (*Image, error) {
	root, err := Root(ctx)
	if err != nil {
		return nil, err
	}
	kernel, err := AMD64.files(ctx)
	if err != nil {
		return nil, err
	}
	old, err := Old.files(ctx)
	if err != nil {
		return nil, err
	}
	split, err := kernel.packed()
	if err != nil {
		return nil, err
	}
	unsplit := repo.Kernel{ModulesDir: old.modules, Vmlinuz: old.vmlinuz, Config: old.config}
	split.Hardware, unsplit.Hardware = leanHardware, leanHardware
	split.NoAliases, unsplit.Unsplit = true, true
	if unsplit.Rules, err = FedoraRules(); err != nil {
		return nil, err
	}
	if unsplit.Symvers, err = Old.symvers(ctx); err != nil {
		return nil, err
	}
	packages, err := buildRepo(ctx, "unsplit-repo", repo.Input{Kernels: []repo.Kernel{split, unsplit}})
	if err != nil {
		return nil, err
	}
	return buildImage(ctx, "unsplit-", root, packages, old, "", rpm)
}
