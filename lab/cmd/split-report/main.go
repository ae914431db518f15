// SPDX-License-Identifier: Apache-2.0

// Command split-report prints what the split makes of Debian's kernels for
// three architectures, and beside it what there is without it: Debian's kernel
// for clouds, and what stock Fedora downloads for one device.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	kernel "driverd/kernelsplit"
	"driverd/lab"
)

// limits are the most that a group should have, in compressed bytes.
var limits = map[kernel.Group]int64{kernel.SRIOV: 8e6, kernel.GPU: 12e6}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := report(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "split-report:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context) error {
	fedora, err := lab.FedoraRules()
	if err != nil {
		return err
	}
	for _, k := range []lab.DebianKernel{lab.AMD64, lab.ARM64, lab.I686} {
		b, err := read(ctx, k)
		if err != nil {
			return err
		}
		if err := b.table(); err != nil {
			return err
		}
		if k == lab.AMD64 {
			if err := b.withoutSplit(ctx, fedora); err != nil {
				return err
			}
		}
	}
	return nil
}

// build is one kernel with the compressed size of each module.
type build struct {
	flavour string
	tree    *kernel.Tree
	packed  map[string]int64
}

func read(ctx context.Context, k lab.DebianKernel) (*build, error) {
	dir, err := k.Modules(ctx)
	if err != nil {
		return nil, err
	}
	tree, err := kernel.ReadTree(ctx, dir)
	if err != nil {
		return nil, err
	}
	packed, err := tree.Compress(ctx)
	return &build{k.Flavour, tree, packed}, err
}

func (b *build) divide(rules kernel.Rules) (*kernel.Split, error) {
	return kernel.Divide(b.tree.Release, b.tree.Modules, rules)
}

// table prints the subpackages, and of those that are above their limit why.
func (b *build) table() error {
	split, err := b.divide(kernel.DefaultRules())
	if err != nil {
		return err
	}
	fmt.Printf("\n%s: Linux %s\n\n", b.flavour, b.tree.Release)
	if err := split.Report(os.Stdout, b.packed); err != nil {
		return err
	}
	for _, g := range kernel.Groups() {
		sum := split.Sum(b.packed, g)
		if limit := limits[g]; limit == 0 || sum.Compressed <= limit {
			continue
		}
		modules := split.In(g)
		slices.SortFunc(modules, func(x, y *kernel.Module) int { return cmp.Compare(b.packed[y.Path], b.packed[x.Path]) })
		fmt.Printf("\n%s is above %s MB. No rule can help: most of it is", g, megabytes(limits[g]))
		for _, m := range modules[:min(5, len(modules))] {
			fmt.Printf(" %s %s,", m.Name(), megabytes(b.packed[m.Path]))
		}
		fmt.Println(" and each drives cards that are passed through.")
	}
	return nil
}

// withoutSplit prints what a guest pays today.
func (b *build) withoutSplit(ctx context.Context, fedora kernel.Rules) error {
	cloud, err := read(ctx, lab.Cloud)
	if err != nil {
		return err
	}
	whole, err := cloud.divide(kernel.DefaultRules())
	if err != nil {
		return err
	}
	stock, err := b.divide(fedora)
	if err != nil {
		return err
	}
	ours, err := b.divide(kernel.DefaultRules())
	if err != nil {
		return err
	}
	sum := whole.Sum(cloud.packed, kernel.Groups()...)
	fmt.Printf("\nDebian's linux-image-cloud-amd64, to which nothing can be added: %d modules, installed %s MB, compressed %s MB\n",
		sum.Modules, megabytes(sum.Installed), megabytes(sum.Compressed))
	sum = stock.Sum(b.packed, kernel.Base)
	fmt.Printf("Fedora's placement of the same modules, kernel-modules-core: %d modules, compressed %s MB\n", sum.Modules, megabytes(sum.Compressed))
	for _, device := range []struct{ what, module string }{
		{"one network card", "igb"}, {"one network card", "bnxt_en"}, {"one GPU", "amdgpu"},
	} {
		fmt.Printf("%s (%s): Fedora downloads %s, with the split %s\n", device.what, device.module,
			download(stock, b.packed, device.module), download(ours, b.packed, device.module))
	}
	return nil
}

// download says what a guest with the base downloads for a module.
func download(s *kernel.Split, packed map[string]int64, module string) string {
	for _, p := range s.Placements {
		switch {
		case p.Name() != module:
		case p.Group == kernel.Base:
			return "nothing: it is in kernel-" + p.Group.Suffix()
		default:
			return megabytes(s.Sum(packed, p.Group).Compressed) + " MB, kernel-" + p.Group.Suffix()
		}
	}
	return "nothing: there is no such module"
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }
