// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"driverd/internal/kerneltest"
	kernel "driverd/kernelsplit"
	"driverd/lab/repo"
)

const release = "7.2.12+deb14-amd64"

// build makes a repository of a few made-up modules, on this machine's libraries.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	k := repo.Kernel{
		ModulesDir: kerneltest.WriteTree(t, dir, release, []*kernel.Module{
			{Path: "kernel/drivers/dca/dca.ko.xz"},
			{
				Path:    "kernel/drivers/net/ethernet/intel/igb/igb.ko.xz",
				Imports: []string{"pci_enable_sriov"}, Depends: []string{"dca"},
				Aliases: []string{"pci:v00008086d000010C9sv*sd*bc*sc*i*", "pci:v00008086d000010CAsv*sd*bc*sc*i*"},
			},
			{Path: "kernel/drivers/net/virtio_net.ko.xz", Aliases: []string{"virtio:d00000001v*"}},
		}),
		Vmlinuz: filepath.Join(dir, "vmlinuz"),
		Config:  filepath.Join(dir, "config"),
	}
	kerneltest.Write(t, k.Vmlinuz, []byte("vmlinuz"))
	kerneltest.Write(t, k.Config, []byte("config"))
	old := k
	old.ModulesDir = kerneltest.WriteTree(t, dir, "6.1.0-50-amd64", []*kernel.Module{
		{Path: "kernel/drivers/net/igb.ko", Aliases: []string{"pci:v00008086d000010C9sv*sd*bc*sc*i*"}},
		{Path: "kernel/drivers/net/can.ko", Depends: []string{"can_dev"}},
		{Path: "kernel/drivers/net/can-dev.ko"}, {Path: "kernel/drivers/net/radio.ko"},
	})
	old.Unsplit, old.NoAliases, old.Hardware, old.Symvers = true, true, []string{"can"}, filepath.Join(dir, "symvers")
	kerneltest.Write(t, old.Symvers, []byte("0x0a19b956\tmisc_register\tvmlinux\tEXPORT_SYMBOL\t\n"))
	var err error
	if old.Rules, err = kernel.ParseRules("base name=igb\nhardware path=kernel/"); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if err := repo.Build(t.Context(), repo.Input{Kernels: []repo.Kernel{k, old}, Newer: true}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBuild(t *testing.T) {
	out := build(t)
	rpms := filepath.Join(out, "repo")

	t.Run("packages of both builds", func(t *testing.T) {
		var want []string
		for _, version := range []string{"-7.2.12+deb14-amd64", "-99.7.2.12+deb14-amd64"} {
			for _, name := range []string{"core", "modules", "modules-core", "modules-gpu", "modules-passthrough", "modules-sriov"} {
				want = append(want, filepath.Join(rpms, "kernel-"+name+version+".x86_64.rpm"))
			}
		}
		for _, name := range []string{"core", "modules", "modules-core"} {
			want = append(want, filepath.Join(rpms, "kernel-"+name+"-6.1.0-50_amd64.x86_64.rpm"))
		}
		slices.Sort(want)
		got, err := filepath.Glob(filepath.Join(rpms, "*.rpm"))
		if err != nil || !slices.Equal(want, got) {
			t.Errorf("want %q, got %q, %v", want, got, err)
		}
	})

	// What driverd asks for, word for word.
	for _, test := range []struct {
		name, pkg, query string
		want             []string
	}{
		{"the image", "kernel-core", "--provides", []string{
			"installonlypkg(kernel)", "kernel-core-uname-r = 7.2.12+deb14-amd64",
			"kernel-uname-r = 7.2.12+deb14-amd64", "kmod(virtio_pci.ko)",
		}},
		{"the image", "kernel-core", "--requires", []string{"kernel-modules-core-uname-r = 7.2.12+deb14-amd64"}},
		{"the base", "kernel-modules-core", "--provides", []string{
			"installonlypkg(kernel-module)", "kernel-modules-core-uname-r = 7.2.12+deb14-amd64",
			"kmod(virtio_net.ko)", "modalias(virtio:d00000001v*)",
		}},
		{"the base's files", "kernel-modules-core", "--list", []string{
			"/lib/modules/7.2.12+deb14-amd64/kernel/drivers/net/virtio_net.ko.xz",
			"/lib/modules/7.2.12+deb14-amd64/modules.catalog",
		}},
		{"a group", "kernel-modules-sriov", "--provides", []string{
			"installonlypkg(kernel-module)", "kernel-modules-sriov-uname-r = 7.2.12+deb14-amd64",
			"kmod(dca.ko)", "kmod(igb.ko)", "modalias(pci:v00008086d000010C[9A]sv*sd*bc*sc*i*)",
		}},
		{"a group", "kernel-modules-sriov", "--requires", []string{
			"kernel-modules-core-uname-r = 7.2.12+deb14-amd64", "kernel-uname-r = 7.2.12+deb14-amd64", "kmod",
		}},
		{"the rest", "kernel-modules", "--requires", []string{
			"kernel-modules-gpu-uname-r = 7.2.12+deb14-amd64",
			"kernel-modules-passthrough-uname-r = 7.2.12+deb14-amd64",
			"kernel-modules-sriov-uname-r = 7.2.12+deb14-amd64",
		}},
		{"a group's files", "kernel-modules-sriov", "--list", []string{
			"/lib/modules/7.2.12+deb14-amd64/kernel/drivers/dca",
			"/lib/modules/7.2.12+deb14-amd64/kernel/drivers/dca/dca.ko.xz",
			"/lib/modules/7.2.12+deb14-amd64/kernel/drivers/net/ethernet/intel/igb/igb.ko.xz",
		}},
	} {
		t.Run(test.name+" "+test.query, func(t *testing.T) {
			got := output(t, "rpm", "-qp", "--nosignature", test.query, filepath.Join(rpms, test.pkg+"-"+release+".x86_64.rpm"))
			for _, line := range test.want {
				if !slices.Contains(strings.Split(got, "\n"), line) {
					t.Errorf("no %q in\n%s", line, got)
				}
			}
		})
	}

	t.Run("a kernel from before the split", func(t *testing.T) {
		for name, file := range map[string]string{"modules-core": "igb.ko", "modules": "can.ko"} {
			rpm := filepath.Join(rpms, "kernel-"+name+"-6.1.0-50_amd64.x86_64.rpm")
			if got := output(t, "rpm", "-qp", "--nosignature", "--list", rpm); !strings.Contains(got, "/lib/modules/6.1.0-50-amd64/kernel/drivers/net/"+file+"\n") {
				t.Errorf("%s has no %s: %s", name, file, got)
			}
			if got := output(t, "rpm", "-qp", "--nosignature", "--provides", "--requires", rpm); regexp.MustCompile("split|sriov|gpu|passthrough").MatchString(got) {
				t.Errorf("%s knows of the split: %s", name, got)
			} else if strings.Contains(got, "modalias(") || !strings.Contains(got, "kmod("+file+")") {
				t.Errorf("%s should name its modules alone: %s", name, got)
			}
		}
		if got := output(t, "rpm", "-qp", "--nosignature", "--provides", filepath.Join(rpms, "kernel-core-6.1.0-50_amd64.x86_64.rpm")); !strings.Contains(got, "kernel(misc_register) = 0x0a19b956\n") {
			t.Errorf("it does not say what it exports: %s", got)
		}
		all := output(t, "rpm", "-qp", "--nosignature", "--list", filepath.Join(rpms, "kernel-modules-6.1.0-50_amd64.x86_64.rpm"),
			filepath.Join(rpms, "kernel-modules-core-6.1.0-50_amd64.x86_64.rpm"))
		if !strings.Contains(all, "can-dev.ko") || strings.Contains(all, "radio.ko") || strings.Contains(all, kernel.CatalogFile) {
			t.Errorf("want can-dev, which can needs, neither radio nor an index: %s", all)
		}
	})

	t.Run("signatures", func(t *testing.T) {
		db := t.TempDir()
		output(t, "rpmkeys", "--dbpath", db, "--import", filepath.Join(out, "key.asc"))
		files, err := filepath.Glob(filepath.Join(rpms, "*.rpm"))
		if err != nil {
			t.Fatal(err)
		}
		got := output(t, "rpmkeys", append([]string{"--dbpath", db, "--checksig", "--verbose"}, files...)...)
		if n := len(regexp.MustCompile(`(?m)^ *Header V4 RSA/SHA\d+ Signature, .*: OK$`).FindAllString(got, -1)); n != len(files) {
			t.Errorf("%d packages, %d signatures:\n%s", len(files), n, got)
		}
	})

	t.Run("metadata", func(t *testing.T) {
		if _, err := os.Stat(filepath.Join(rpms, "repodata", "repomd.xml")); err != nil {
			t.Error(err)
		}
	})
}

// Two variants of one build have packages and files of their own.
func TestVariantsSideBySide(t *testing.T) {
	dir := t.TempDir()
	var kernels []repo.Kernel
	for _, variant := range []string{"", "64k-debug"} {
		k := repo.Kernel{Variant: variant, Vmlinuz: filepath.Join(dir, "vmlinuz"), Config: filepath.Join(dir, "config")}
		name := release
		if variant != "" {
			name += "+" + variant
		}
		k.ModulesDir = kerneltest.WriteTree(t, dir, name, []*kernel.Module{
			{Path: "kernel/drivers/net/virtio_net.ko.xz", Aliases: []string{"virtio:d00000001v*"}},
			{Path: "kernel/drivers/gpu/drm/xe/xe.ko.xz", Aliases: []string{"pci:v00008086d0000E20Bsv*sd*bc03sc*i*"}},
		})
		kerneltest.Write(t, k.Vmlinuz, []byte("vmlinuz"))
		kerneltest.Write(t, k.Config, []byte("config"))
		kernels = append(kernels, k)
	}
	out := t.TempDir()
	if err := repo.Build(t.Context(), repo.Input{Kernels: kernels}, out); err != nil {
		t.Fatal(err)
	}
	rpms, err := filepath.Glob(filepath.Join(out, "repo", "*.rpm"))
	if err != nil || len(rpms) != 12 {
		t.Fatalf("packages %q, %v", rpms, err)
	}
	db := t.TempDir() // everything of an installation but the files
	output(t, "rpm", append([]string{"--dbpath", db, "-i", "--justdb", "--nodeps", "--noscripts", "--notriggers", "--nosignature"}, rpms...)...)
	for capability, want := range map[string]string{
		"kernel-modules-gpu-uname-r = 7.2.12+deb14-amd64":                     "kernel-modules-gpu",
		"kernel-64k-debug-modules-gpu-uname-r = 7.2.12+deb14-amd64+64k_debug": "kernel-64k-debug-modules-gpu",
		"kernel-uname-r = 7.2.12+deb14-amd64+64k_debug":                       "kernel-64k-debug-core",
	} {
		if got := output(t, "rpm", "--dbpath", db, "-q", "--provides", want); !strings.Contains(got, capability+"\n") {
			t.Errorf("%s does not provide %s, but\n%s", want, capability, got)
		}
	}
	const file = "/lib/modules/7.2.12+deb14-amd64+64k-debug/kernel/drivers/gpu/drm/xe/xe.ko.xz"
	if got := output(t, "rpm", "--dbpath", db, "-ql", "kernel-64k-debug-modules-gpu"); !strings.Contains(got, file+"\n") {
		t.Errorf("no %s in\n%s", file, got)
	}
}

func TestStubSpeaksForTheRootsLibraries(t *testing.T) {
	dir := t.TempDir()
	if err := repo.Stub(t.Context(), "/", "x86_64", dir); err != nil {
		t.Fatal(err)
	}
	got := output(t, "rpm", "-qp", "--nosignature", "--provides", filepath.Join(dir, "debian-base-1-1.x86_64.rpm"))
	for _, line := range []string{"/bin/sh", "libc.so.6(GLIBC_2.34)(64bit)", "libudev.so.1()(64bit)"} {
		if !slices.Contains(strings.Split(got, "\n"), line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("cannot run %s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
