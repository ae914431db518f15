// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/daemon/load"
	"driverd/internal/kerneltest"
	kernel "driverd/kernelsplit"
)

const (
	release = "7.2.12-test"
	igb     = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"
	igbs    = "pci:v00008086d000010C9sv*sd*bc*sc*i*"
)

// unpacked is a tree that depmod has run on, into which a package has just
// unpacked more modules.
func unpacked(t *testing.T, installed []*kernel.Module, fresh ...*kernel.Module) (dir string) {
	t.Helper()
	dir = kerneltest.WriteTree(t, t.TempDir(), release, installed)
	for _, m := range fresh {
		kerneltest.Write(t, filepath.Join(dir, m.Path), kerneltest.Object(m))
	}
	order := "kernel/drivers/not-here.ko\n"
	for _, m := range slices.Concat(installed, fresh) {
		if stem, _, _ := strings.Cut(m.Path, ".ko"); strings.HasPrefix(m.Path, "kernel/") {
			order += stem + ".ko\n"
		}
	}
	kerneltest.Write(t, filepath.Join(dir, "modules.order"), []byte(order))
	return dir
}

// index writes the index of the build of modules, as it ships with a kernel.
func index(t *testing.T, dir string, modules []*kernel.Module) {
	t.Helper()
	known := make(map[string]*kernel.Module)
	for _, m := range modules {
		known[m.Name()] = m
	}
	text := "# driverd modules 1 of Linux " + release + "\n"
	var needs func(m *kernel.Module) []string
	needs = func(m *kernel.Module) (all []string) { // the last to be loaded first, as depmod lists them
		for _, name := range slices.Backward(m.Depends) {
			all = append(all, name)
			if d := known[name]; d != nil {
				all = append(all, needs(d)...)
			}
		}
		return all
	}
	for _, m := range modules {
		all := needs(m)
		text += "\nmodule " + m.Name() + "\ngroup sriov\nfile " + m.Path + "\n"
		for key, values := range map[string][]string{"depends": all, "softdep": m.SoftDepends, "alias": m.Aliases} {
			for _, v := range values {
				text += key + " " + v + "\n"
			}
		}
	}
	kerneltest.Write(t, filepath.Join(dir, "modules.catalog"), []byte(text+"\n# end\n"))
}

// loads returns what modprobe would load for a device, in its order.
func loads(t *testing.T, e *load.Early, device string) []string {
	t.Helper()
	out, err := exec.Command("/sbin/modprobe", "--dirname", e.Root, "--set-version", release, "--show-depends", device).CombinedOutput()
	if err != nil {
		t.Fatalf("modprobe: %v: %s", err, out)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^insmod \S*/([^/ ]+?)\.ko`).FindAllStringSubmatch(string(out), -1) {
		names = append(names, m[1])
	}
	return names
}

func TestEarly(t *testing.T) {
	t.Parallel()
	dca := &kernel.Module{Path: "kernel/drivers/dca/dca.ko.xz"}
	ptp := &kernel.Module{Path: "kernel/drivers/ptp/ptp.ko.xz", Depends: []string{"pps_core"}, Imports: []string{kerneltest.Symbol("pps_core")}}
	pps := &kernel.Module{Path: "kernel/drivers/pps/pps-core.ko.xz"}
	other := &kernel.Module{Path: "kernel/drivers/net/ixgbe.ko.xz", Aliases: []string{"pci:v00008086d000010FBsv*sd*bc*sc*i*"}}
	card := func(path string) *kernel.Module {
		return &kernel.Module{Path: path, Aliases: []string{igbs}, Depends: []string{"dca", "ptp"}, Imports: []string{kerneltest.Symbol("dca"), kerneltest.Symbol("ptp")}}
	}
	for _, test := range []struct {
		name             string
		installed, fresh []*kernel.Module
		modules, loads   []string
	}{
		{
			"everything is new", nil,
			[]*kernel.Module{card("kernel/drivers/net/igb.ko"), dca, ptp, pps, other},
			[]string{"igb"}, []string{"dca", "pps-core", "ptp", "igb"},
		},
		{
			"what it depends on is installed", []*kernel.Module{dca, ptp, pps},
			[]*kernel.Module{card("kernel/drivers/net/igb.ko.xz"), other},
			[]string{"igb"}, []string{"dca", "pps-core", "ptp", "igb"},
		},
		{
			"zst", []*kernel.Module{ptp, pps},
			[]*kernel.Module{card("kernel/drivers/net/igb.ko.zst"), {Path: "kernel/drivers/dca/dca.ko.zst"}},
			[]string{"igb"}, []string{"dca", "pps-core", "ptp", "igb"},
		},
		{
			"softly needed: new, and built in", nil,
			[]*kernel.Module{
				{Path: "kernel/drivers/net/igb.ko.xz", Aliases: []string{igbs}, SoftDepends: []string{"dca", "virtio_pci"}},
				dca,
			},
			[]string{"igb"}, []string{"dca", "igb"},
		},
		{
			"softly needed by an installed module",
			[]*kernel.Module{{Path: ptp.Path, SoftDepends: []string{"pps_core"}}, pps, dca},
			[]*kernel.Module{card("kernel/drivers/net/igb.ko.xz")},
			[]string{"igb"}, []string{"dca", "pps-core", "ptp", "igb"},
		},
		{
			"two claim it", []*kernel.Module{dca, ptp, pps},
			[]*kernel.Module{card("updates/net/igb.ko.xz"), {Path: "kernel/drivers/vfio/igb_vfio.ko.xz", Aliases: []string{"pci:v00008086d*sv*sd*bc02sc*i*"}}},
			[]string{"igb", "igb_vfio"}, []string{"igb_vfio", "dca", "pps-core", "ptp", "igb"}, // modules.order knows no updates
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := unpacked(t, test.installed, test.fresh...)
			for _, of := range []string{"the modules", "the index of the build"} { // what they say is one
				e, err := load.PrepareEarly(t.Context(), dir, igb)
				if err != nil {
					t.Fatalf("by %s: %v", of, err)
				}
				if diff := cmp.Diff(test.modules, e.Modules); diff != "" {
					t.Errorf("claimants by %s (-want +got):\n%s", of, diff)
				}
				if diff := cmp.Diff(test.loads, loads(t, e, igb)); diff != "" {
					t.Errorf("modprobe loads by %s (-want +got):\n%s", of, diff)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
				if _, err := os.Lstat(e.Root); !os.IsNotExist(err) {
					t.Errorf("the module root is still there: %v", err)
				}
				index(t, dir, slices.Concat(test.installed, test.fresh))
			}
		})
	}
}

// With an index of the whole build, no module is looked into for nothing: not
// even one that cannot be read.
func TestEarlyWithShippedIndex(t *testing.T) {
	t.Parallel()
	dir := unpacked(t, nil,
		&kernel.Module{Path: "kernel/drivers/net/igb.ko.xz", Aliases: []string{igbs}, Depends: []string{"dca"}, Imports: []string{kerneltest.Symbol("dca")}},
		&kernel.Module{Path: "kernel/drivers/dca/dca.ko.xz"})
	kerneltest.Write(t, filepath.Join(dir, "kernel/drivers/net/other.ko"), []byte("cut short"))
	if e, err := load.PrepareEarly(t.Context(), dir, igb); err == nil {
		t.Errorf("without the index: %+v, want an error", e)
	}
	catalog := func(modules ...string) {
		text := "# modules of Linux " + release + "\n"
		for _, m := range modules {
			text += "\nmodule " + m + "\ngroup sriov\nfile kernel/" + m + ".ko\nalias " + igbs + "\n"
		}
		kerneltest.Write(t, filepath.Join(dir, "modules.catalog"), []byte(text))
	}
	catalog("igb", "not_here")
	e, err := load.PrepareEarly(t.Context(), dir, igb)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"dca", "igb"}, loads(t, e, igb)); diff != "" {
		t.Error(diff)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	// An index that is wrong about a module is not believed.
	catalog("dca")
	if e, err := load.PrepareEarly(t.Context(), dir, igb); err == nil {
		t.Errorf("dca does not claim it: %+v", e)
	}
}

// What the index of the build tells is not looked for in the modules: here they are none.
func TestEarlyByTheIndexAlone(t *testing.T) {
	t.Parallel()
	modules := []*kernel.Module{
		{Path: "kernel/drivers/net/igb.ko.xz", Aliases: []string{igbs, "pci:v00008086d000010C8sv*sd*bc*sc*i*"}, Depends: []string{"ptp", "dca"}},
		{Path: "kernel/drivers/dca/dca.ko.xz"},
		{Path: "kernel/drivers/ptp/ptp.ko.xz", Depends: []string{"pps_core"}},
		{Path: "kernel/drivers/pps/pps-core.ko.xz"},
		{Path: "kernel/drivers/net/igbvf.ko.xz", Aliases: []string{"pci:v00008086d000010CAsv*sd*bc*sc*i*"}},
	}
	dir := unpacked(t, nil, modules...)
	for _, m := range modules {
		if err := os.WriteFile(filepath.Join(dir, m.Path), []byte("no module"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if e, err := load.PrepareEarly(t.Context(), dir, igb); err == nil {
		t.Errorf("without the index: %+v, want an error", e)
	}
	index(t, dir, modules)
	e, err := load.PrepareEarly(t.Context(), dir, igb)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pps-core", "ptp", "dca", "igb"}, loads(t, e, igb)); diff != "" {
		t.Error(diff)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, "modules.catalog"), 0o666); err != nil {
		t.Fatal(err)
	}
	if e, err := load.PrepareEarly(t.Context(), dir, igb); err == nil || !strings.Contains(err.Error(), "only root can write") {
		t.Errorf("anybody can write to the index: %+v, %v", e, err)
	}
}

// gzip works where kmod(8) was built with zlib, as Fedora's is and Debian's is
// not. Where it was not, modprobe could not load the module later either.
func TestEarlyGzip(t *testing.T) {
	t.Parallel()
	version, err := exec.Command("kmod", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := unpacked(t, nil, &kernel.Module{Path: "kernel/drivers/net/igb.ko.gz", Aliases: []string{igbs}})
	e, err := load.PrepareEarly(t.Context(), dir, igb)
	if !strings.Contains(string(version), "+ZLIB") {
		if err == nil || !strings.Contains(err.Error(), "igb.ko.gz") {
			t.Errorf("kmod cannot read the module, and the error is %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"igb"}, loads(t, e, igb)); diff != "" {
		t.Error(diff)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever is not certain waits for depmod, and leaves nothing behind.
func TestEarlyUncertain(t *testing.T) {
	card := &kernel.Module{Path: "kernel/drivers/net/igb.ko.xz", Aliases: []string{igbs}, Depends: []string{"dca"}}
	dca := &kernel.Module{Path: "kernel/drivers/dca/dca.ko.xz"}
	soft := &kernel.Module{Path: card.Path, Aliases: card.Aliases, SoftDepends: []string{"crypto-crc32c"}}
	for _, test := range []struct {
		name             string
		installed, fresh []*kernel.Module
		spoil            func(dir string) error
		want             string
	}{
		{name: "nothing new", installed: []*kernel.Module{dca}, want: "none that depmod has yet to index"},
		{name: "nothing that claims it", fresh: []*kernel.Module{dca}, want: "none that depmod has yet to index"},
		{name: "a dependency is missing", fresh: []*kernel.Module{card}, want: "igb needs dca"},
		{name: "a soft dependency by its alias", fresh: []*kernel.Module{soft}, want: "igb needs crypto_crc32c"},
		{
			name: "two of one name", installed: []*kernel.Module{card, dca},
			fresh: []*kernel.Module{{Path: "updates/igb.ko", Aliases: card.Aliases}}, want: "are one module",
		},
		{
			name: "cut short", fresh: []*kernel.Module{card, dca}, want: "'igb'",
			spoil: func(dir string) error { return os.Truncate(filepath.Join(dir, card.Path), 100) },
		},
		{
			name: "a dependency cut short", fresh: []*kernel.Module{card, dca}, want: "'dca'",
			spoil: func(dir string) error { return os.Truncate(filepath.Join(dir, dca.Path), 0) },
		},
		{
			name: "anybody can write to it", fresh: []*kernel.Module{card, dca}, want: "only root can write",
			spoil: func(dir string) error { return os.Chmod(filepath.Join(dir, dca.Path), 0o666) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			dir := unpacked(t, test.installed, test.fresh...)
			if test.spoil != nil {
				if err := test.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
			e, err := load.PrepareEarly(t.Context(), dir, igb)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v, %v, want an error with %q", e, err, test.want)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func BenchmarkPrepareEarly(b *testing.B) {
	dir := kerneltest.WriteTree(b, b.TempDir(), release, nil)
	for _, m := range []*kernel.Module{
		{Path: "kernel/drivers/net/igb.ko.xz", Aliases: []string{igbs}, Depends: []string{"dca"}},
		{Path: "kernel/drivers/dca/dca.ko.xz"},
	} {
		kerneltest.Write(b, filepath.Join(dir, m.Path), kerneltest.Object(m))
	}
	for b.Loop() {
		e, err := load.PrepareEarly(b.Context(), dir, igb)
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
