// SPDX-License-Identifier: Apache-2.0

// Command split-report prints what the split makes of Debian's kernels, in one
// table: the modules and sizes of the groups, and whether what guests need holds.
// Then it says what each rule of the base costs, and what a guest downloads
// without the split.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"

	kernel "driverd/kernelsplit"
	"driverd/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := report(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "split-report:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context, out io.Writer) error {
	var builds []*build
	for _, k := range lab.SplitKernels() {
		b, err := read(ctx, k)
		if err != nil {
			return err
		}
		builds = append(builds, b)
	}
	if err := sizes(out, builds); err != nil {
		return err
	}
	if err := additions(out, builds[0]); err != nil {
		return err
	}
	return withoutSplit(ctx, out, builds[0])
}

// build is one kernel, divided, with the compressed size of each module.
type build struct {
	tree   *kernel.Tree
	split  *kernel.Split
	packed map[string]int64
}

func read(ctx context.Context, k lab.DebianKernel) (*build, error) {
	tree, err := k.Tree(ctx)
	if err != nil {
		return nil, err
	}
	b := &build{tree: tree}
	if b.split, err = kernel.Divide(b.tree.Release, b.tree.Modules, kernel.DefaultRules()); err != nil {
		return nil, err
	}
	b.packed, err = b.tree.Compress(ctx)
	return b, err
}

// sizes prints the table of all kernels, and whether what guests need holds.
func sizes(out io.Writer, builds []*build) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(table, "kernel\tmodules\t")
	for _, g := range kernel.Groups() {
		_, _ = fmt.Fprintf(table, "%s MB\t", g)
	}
	_, _ = fmt.Fprintln(table, "what guests need\t")
	for _, b := range builds {
		verdict := "holds"
		if err := b.split.Check(); err != nil {
			verdict = "does not hold"
		}
		_, _ = fmt.Fprintf(table, "%s\t%d\t", b.tree.Release, len(b.tree.Modules))
		for _, g := range kernel.Groups() {
			sum := b.split.Sum(b.packed, g)
			_, _ = fmt.Fprintf(table, "%s/%s\t", megabytes(sum.Installed), megabytes(sum.Compressed))
		}
		_, _ = fmt.Fprintf(table, "%s\t\n", verdict)
	}
	_, _ = fmt.Fprintln(out, "installed as the kernel's package has the modules / compressed with xz, in MB")
	return table.Flush()
}

// additions prints what each rule has brought into the base, with what that needs.
func additions(out io.Writer, b *build) error {
	type cost struct {
		modules int
		bytes   int64
	}
	costs := make(map[*kernel.Rule]cost)
	for _, p := range b.split.Placements {
		if p.Group != kernel.Base {
			continue
		}
		rule := p.Rule
		if len(p.Moves) > 0 {
			rule = p.Moves[len(p.Moves)-1].For.Rule
		}
		c := costs[rule]
		costs[rule] = cost{c.modules + 1, c.bytes + b.packed[p.Path]}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "\nWhat each rule brings into the base of Linux %s, with what it needs, compressed:\n", b.tree.Release)
	for _, rule := range slices.SortedFunc(maps.Keys(costs), func(x, y *kernel.Rule) int { return cmp.Compare(x.Line, y.Line) }) {
		_, _ = fmt.Fprintf(table, "%d modules\t%.0f kB\t%.100s\n", costs[rule].modules, float64(costs[rule].bytes)/1e3, rule.Text)
	}
	return table.Flush()
}

// withoutSplit prints what a guest pays today.
func withoutSplit(ctx context.Context, out io.Writer, b *build) error {
	cloud, err := read(ctx, lab.Cloud)
	if err != nil {
		return err
	}
	rules, err := lab.FedoraRules()
	if err != nil {
		return err
	}
	stock, err := kernel.Divide(b.tree.Release, b.tree.Modules, rules)
	if err != nil {
		return err
	}
	sum := cloud.split.Sum(cloud.packed, kernel.Groups()...)
	_, _ = fmt.Fprintf(out, "\nDebian's linux-image-cloud-amd64, to which nothing can be added: %d modules, installed %s MB, compressed %s MB\n",
		sum.Modules, megabytes(sum.Installed), megabytes(sum.Compressed))
	sum = stock.Sum(b.packed, kernel.Base)
	_, _ = fmt.Fprintf(out, "Fedora's placement of the same modules, kernel-modules-core: %d modules, compressed %s MB\n", sum.Modules, megabytes(sum.Compressed))
	for _, device := range []struct{ what, module string }{
		{"one network card", "igb"}, {"one network card", "bnxt_en"}, {"one GPU", "amdgpu"},
	} {
		_, _ = fmt.Fprintf(out, "%s (%s): Fedora downloads %s, with the split %s\n", device.what, device.module,
			download(stock, b.packed, device.module), download(b.split, b.packed, device.module))
	}
	return nil
}

// download says what a guest with the base downloads for a module.
func download(s *kernel.Split, packed map[string]int64, module string) string {
	i := slices.IndexFunc(s.Placements, func(p *kernel.Placement) bool { return p.Name() == module })
	if i < 0 {
		return "nothing: there is no such module"
	}
	g := s.Placements[i].Group
	if g == kernel.Base {
		return "nothing: it is in kernel-" + g.Suffix()
	}
	return megabytes(s.Sum(packed, g).Compressed) + " MB, kernel-" + g.Suffix()
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f", float64(bytes)/1e6) }
