// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"context"
	_ "embed" // for kernel.spec
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	kernel "driverd/kernelsplit"
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
	split, err := b.divide()
	if err != nil {
		return err
	}
	split.Variant = b.Variant
	splitDir := filepath.Join(work, "split-"+tree.Release)
	if err := split.Write(splitDir); err != nil {
		return err
	}
	catalog := kernel.CatalogFile
	if b.Unsplit {
		catalog = ""
		if err := withoutLines(filepath.Join(splitDir, kernel.Base.Suffix()+".list"), "/"+kernel.CatalogFile+"\n"); err != nil {
			return err
		}
	}
	if b.NoAliases {
		if err := withoutAliases(splitDir); err != nil {
			return err
		}
	}
	if b.Dracut {
		if err := withDracut(splitDir); err != nil {
			return err
		}
	}
	plain, prefix := tree.Release, ""
	if b.Variant != "" {
		plain, prefix = strings.TrimSuffix(tree.Release, "+"+b.Variant), b.Variant+"-"
	}
	capability := kernel.CapabilityVersion(plain)
	version, release, ok := strings.Cut(capability, "-")
	if !ok {
		release = "1"
	}
	provides := kernel.BuiltinProvides(tree)
	if b.Symvers != "" {
		exports, err := os.ReadFile(b.Symvers)
		if err != nil {
			return err
		}
		provides = append(provides, SymbolCapabilities(string(exports))...)
	}
	var spec strings.Builder
	if err := kernelTemplate.Execute(&spec, map[string]any{
		"Version":      version,
		"Release":      release,
		"UnameR":       tree.Release,
		"Plain":        plain,
		"Prefix":       prefix,
		"SplitVersion": capability,
		"Capability":   kernel.CapabilityVersion(tree.Release),
		"SplitDir":     splitDir,
		"Fragment":     kernel.FragmentFile,
		"Catalog":      catalog,
		"Unsplit":      b.Unsplit,
		"Tree":         tree.Dir,
		"Vmlinuz":      b.Vmlinuz,
		"Config":       b.Config,
		"Provides":     provides,
	}); err != nil {
		return err
	}
	return rpmbuild(ctx, spec.String(), b.Arch, work, dir)
}

// SymbolCapabilities returns what EL's packages say of the symbols in a list: that each line
// begins with a checksum and a symbol, as in Module.symvers and of modprobe --dump-modversions.
func SymbolCapabilities(list string) []string {
	var capabilities []string
	for line := range strings.Lines(list) {
		if fields := strings.Fields(line); len(fields) > 1 {
			capabilities = append(capabilities, fmt.Sprintf("kernel(%s) = %s", fields[1], fields[0]))
		}
	}
	return capabilities
}

// divide divides the build's modules by its rules.
func (b kernelBuild) divide() (*kernel.Split, error) {
	rules := b.Rules
	if rules == nil {
		rules = kernel.DefaultRules()
	}
	return kernel.Divide(b.tree.Release, b.tree.Modules, rules)
}

// withDracut has dracut follow depmod in a written split: once a transaction, too.
func withDracut(dir string) error {
	file := filepath.Join(dir, kernel.FragmentFile)
	fragment, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const depmod, fi = "    /usr/sbin/depmod -a %{KVERREL}\n", "fi\n"
	text := strings.ReplaceAll(string(fragment), depmod+fi, depmod+"    dracut --force --kver %{KVERREL}\n"+fi)
	if text == string(fragment) {
		return fmt.Errorf("cannot find depmod in %s", file)
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// withoutAliases takes the modalias() Provides out of a written split.
func withoutAliases(dir string) error {
	return withoutLines(filepath.Join(dir, kernel.ProvidesFile), " modalias(")
}

// withoutLines takes the lines that hold some text out of a file.
func withoutLines(file, text string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var rest strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.Contains(line, text) {
			rest.WriteString(line)
		}
	}
	return os.WriteFile(file, []byte(rest.String()), 0o644)
}

// newerModules are the modules of the newer build: enough that whoever does
// not ask for the running kernel's build would take it for each group, and what a guest
// has loaded, without which that build would not be ready for the next boot.
var newerModules = []string{
	"igb", "igbvf", "bochs", "e1000e", "megaraid_sas", "sdhci_pci",
	"virtio_net", "virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "qemu_fw_cfg", "ext4", "autofs4", "crc32c_cryptoapi", "vsock_loopback", "vmw_vsock_virtio_transport",
}

// newer makes, in dir, a later build of the same kernel with few modules. They
// are the running kernel's own: nothing ever loads them.
func (b kernelBuild) newer(ctx context.Context, dir string) (kernelBuild, error) {
	return b.part(ctx, dir, "99."+b.tree.Release, newerModules)
}

// lean makes, in dir, the same build with less hardware.
func (b kernelBuild) lean(ctx context.Context, dir string) (kernelBuild, error) {
	split, err := b.divide()
	if err != nil {
		return kernelBuild{}, err
	}
	names := slices.Clone(b.Hardware)
	for _, p := range split.Placements {
		if p.Group != kernel.Hardware {
			names = append(names, p.Name())
		}
	}
	return b.part(ctx, dir, b.tree.Release, names)
}

// part makes, in dir, a build of the modules with these names and of what they
// need.
func (b kernelBuild) part(ctx context.Context, dir, release string, names []string) (kernelBuild, error) {
	modules := filepath.Join(dir, "lib", "modules", release)
	files := []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"}
	wanted := make(map[string]bool)
	for _, name := range names {
		wanted[name] = true
	}
	for _, m := range b.tree.Modules {
		if slices.Contains(names, m.Name()) {
			for _, name := range m.Depends { // depmod lists them transitively
				wanted[name] = true
			}
		}
	}
	for _, m := range b.tree.Modules {
		if wanted[m.Name()] {
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
