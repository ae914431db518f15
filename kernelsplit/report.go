// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// Size is what some modules are in numbers.
type Size struct {
	Modules    int
	Moved      int   // those that are not where their rule wanted them
	Installed  int64 // bytes of the files as they lie in the tree
	Compressed int64 // bytes with xz, as kernel packages carry them
}

// Sum adds up the modules of the given groups. packed has the compressed size
// of each module by its path, as Compress returns it.
func (s *Split) Sum(packed map[string]int64, groups ...Group) Size {
	var sum Size
	for _, p := range s.Placements {
		if !slices.Contains(groups, p.Group) {
			continue
		}
		sum.Modules++
		sum.Installed += p.Size
		sum.Compressed += packed[p.Path]
		if len(p.Moves) > 0 {
			sum.Moved++
		}
	}
	return sum
}

// Compress returns the compressed size in bytes of each module by its path:
// the file's own if it is compressed, else that which xz makes of it with the
// options of the kernel's build (Linux: scripts/Makefile.modinst).
func (t *Tree) Compress(ctx context.Context) (map[string]int64, error) {
	sizes := make([]int64, len(t.Modules))
	err := parallel(ctx, len(sizes), func(ctx context.Context, i int) error {
		m := t.Modules[i]
		sizes[i] = m.Size
		if !strings.HasSuffix(m.Path, ".ko") {
			return nil
		}
		out, err := exec.CommandContext(ctx, "xz", "--check=crc32", "--lzma2=dict=1MiB", "-c", filepath.Join(t.Dir, m.Path)).Output()
		sizes[i] = int64(len(out))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot compress the modules of %s: %w", t.Dir, err)
	}
	packed := make(map[string]int64, len(sizes))
	for i, m := range t.Modules {
		packed[m.Path] = sizes[i]
	}
	return packed, nil
}

// Report writes the table of subpackages.
func (s *Split) Report(w io.Writer, packed map[string]int64) error {
	all := s.Sum(packed, Groups()...)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "group\tmodules\tmoved here\tinstalled MB\tcompressed MB\tof all\t")
	line := func(name string, sum Size) {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%.1f\t%.1f\t%.0f %%\t\n", name, sum.Modules, sum.Moved,
			megabytes(sum.Installed), megabytes(sum.Compressed), 100*float64(sum.Compressed)/float64(max(1, all.Compressed)))
	}
	for _, g := range Groups() {
		line(string(g), s.Sum(packed, g))
	}
	line("all", all)
	return table.Flush()
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }
