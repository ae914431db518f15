// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"context"
	_ "embed" // for kernel.spec
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"driverd/packaging/kernel"
)

// kernelBuild is one build of a kernel: what its packages are made of.
type kernelBuild struct {
	Kernel
	tree *kernel.Tree
}

//go:embed kernel.spec
var kernelSpec string

var kernelTemplate = template.Must(template.New("kernel.spec").Parse(kernelSpec))

// pack divides the build's modules and leaves its packages in dir.
func (b kernelBuild) pack(ctx context.Context, work, dir string) error {
	tree := b.tree
	rules := b.Rules
	if rules == nil {
		rules = kernel.DefaultRules()
	}
	split, err := kernel.Divide(tree.Release, tree.Modules, rules)
	if err != nil {
		return err
	}
	splitDir := filepath.Join(work, "split-"+tree.Release)
	if err := split.Write(splitDir); err != nil {
		return err
	}
	catalog := kernel.CatalogFile
	if b.Unsplit {
		catalog = ""
		if err := unsplit(splitDir); err != nil {
			return err
		}
	}
	capability := kernel.CapabilityVersion(tree.Release)
	version, release, ok := strings.Cut(capability, "-")
	if !ok {
		release = "1"
	}
	var spec strings.Builder
	if err := kernelTemplate.Execute(&spec, map[string]any{
		"Version":    version,
		"Release":    release,
		"UnameR":     tree.Release,
		"Capability": capability,
		"SplitDir":   splitDir,
		"Fragment":   kernel.FragmentFile,
		"Catalog":    catalog,
		"Tree":       tree.Dir,
		"Vmlinuz":    b.Vmlinuz,
		"Config":     b.Config,
		"Provides":   kernel.BuiltinProvides(tree),
	}); err != nil {
		return err
	}
	return rpmbuild(ctx, spec.String(), work, dir)
}

// foreign are the lines of the fragment that only a split kernel has.
var foreign = regexp.MustCompile(`(?m)^(Provides: %\{name\}-modules-split|Requires: .*-modules-(sriov|gpu|passthrough|extra).*)\n`)

// unsplit makes of a written split what a distribution has that does not know
// it: two subpackages, which say nothing of others, and no index of the build.
func unsplit(dir string) error {
	file := filepath.Join(dir, kernel.FragmentFile)
	fragment, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sections := strings.Split(string(fragment), "%package ")
	known := slices.DeleteFunc(sections, func(section string) bool {
		name, _, _ := strings.Cut(section, "\n")
		return name != "" && name != kernel.Base.Suffix() && name != kernel.Hardware.Suffix()
	})
	if err := os.WriteFile(file, foreign.ReplaceAll([]byte(strings.Join(known, "%package ")), nil), 0o644); err != nil {
		return err
	}
	file = filepath.Join(dir, kernel.Base.Suffix()+".list")
	list, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	index := regexp.MustCompile(`(?m)^.*/` + regexp.QuoteMeta(kernel.CatalogFile) + `\n`)
	return os.WriteFile(file, index.ReplaceAll(list, nil), 0o644)
}

// newerModules are the modules of the newer build: enough that whoever does
// not ask for the running kernel's build would take it for each group.
var newerModules = []string{"virtio_net", "igb", "igbvf", "bochs", "e1000e", "megaraid_sas", "sdhci_pci"}

// newer makes, in dir, a later build of the same kernel with few modules. They
// are the running kernel's own: nothing ever loads them.
func (b kernelBuild) newer(ctx context.Context, dir string) (kernelBuild, error) {
	release := "99." + b.tree.Release
	modules := filepath.Join(dir, "lib", "modules", release)
	files := []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"}
	names := slices.Clone(newerModules)
	for _, m := range b.tree.Modules {
		if slices.Contains(newerModules, m.Name()) {
			names = append(names, m.Depends...) // depmod lists them transitively
		}
	}
	for _, m := range b.tree.Modules {
		if slices.Contains(names, m.Name()) {
			files = append(files, m.Path)
		}
	}
	for _, file := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(modules, file)), 0o755); err != nil {
			return kernelBuild{}, err
		}
		data, err := os.ReadFile(filepath.Join(b.tree.Dir, file))
		if err != nil {
			return kernelBuild{}, err
		}
		if err := os.WriteFile(filepath.Join(modules, file), data, 0o644); err != nil {
			return kernelBuild{}, err
		}
	}
	if err := run(exec.CommandContext(ctx, "depmod", "-b", dir, release)); err != nil {
		return kernelBuild{}, err
	}
	tree, err := kernel.ReadTree(ctx, modules)
	return kernelBuild{b.Kernel, tree}, err
}
