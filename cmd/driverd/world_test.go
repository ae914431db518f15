// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/renameio/v2"
	"github.com/rs/zerolog"

	"driverd/api"
	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/daemon/config"
	"driverd/daemon/outside"
	"driverd/daemon/state"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/sysfs"
	"driverd/internal/guest"
	"driverd/internal/testbus"
	"driverd/internal/testtree"
	"driverd/plan"
	"driverd/reason"
)

const (
	release = "7.2.12-test"
	sriov   = "kernel-modules-sriov-7.2.12-1.x86_64"
	storage = "kernel-modules-passthrough-7.2.12-1.x86_64"

	igbModalias = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"
)

// guestTree puts a guest's files under root: what sysfs, depmod and the service would write.
func guestTree(t testing.TB, root string) string {
	t.Helper()
	for slot, d := range map[string]struct{ modalias, class, driver string }{
		"0000:00:00.0": {"pci:v00008086d000029C0sv00001AF4sd00001100bc06sc00i00", "0x060000", ""},
		"0000:00:02.0": {"pci:v00001B36d0000000Csv00000000sd00000000bc06sc04i00", "0x060400", "pcieport"},
		"0000:00:1f.0": {"pci:v00008086d00002918sv00001AF4sd00001100bc06sc01i00", "0x060100", ""},
		"0000:01:00.0": {igbModalias, "0x020000", ""},
		"0000:02:00.0": {"pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00", "0x020000", "virtio-pci"},
		"0000:03:00.0": {"pci:v00001000d00000060sv00001000sd00001013bc01sc04i00", "0x010400", ""},
		"0000:04:00.0": {"pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00", "0x00ff00", ""},
	} {
		plug(t, root, slot, d.modalias, d.class, d.driver)
	}
	testtree.Write(t, filepath.Join(root, "lib/modules", release, "modules.alias"),
		"alias pci:v00001000d00000060sv*sd*bc*sc*i* megaraid_sas\nalias pci:v00001000d00000060sv00001000sd*bc*sc*i* megaraid_other\n")
	testtree.Write(t, filepath.Join(root, "lib/modules", release, "modules.builtin.modinfo"),
		"virtio_pci.alias=pci:v00001AF4d*sv*sd*bc*sc*i*\x00")
	testtree.Write(t, filepath.Join(root, "proc/modules"), "")
	dir := filepath.Join(root, guest.StateDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (state.Catalogs{Dir: dir}).Save(release, daemon.Learned{At: time.Now(), Listing: dnfbridge.Listing{Packages: repository()}}); err != nil {
		t.Fatal(err)
	}
	return root
}

// plug puts a device into a tree.
func plug(t testing.TB, root, slot, modalias, class, driver string) {
	t.Helper()
	dir := filepath.Join(root, "sys/bus/pci/devices", slot)
	for name, text := range map[string]string{
		"modalias": modalias, "class": class,
		"vendor": "0x" + modalias[len("pci:v0000"):][:4], "device": "0x" + modalias[len("pci:v00008086d0000"):][:4],
		"subsystem_vendor": "0x0000", "subsystem_device": "0x0000",
	} {
		testtree.Write(t, filepath.Join(dir, name), text+"\n")
	}
	if driver != "" {
		if err := os.Symlink("/drivers/"+driver, filepath.Join(dir, "driver")); err != nil {
			t.Fatal(err)
		}
	}
}

func repository() []dnfbridge.Package {
	uname := func(group string) string { return "kernel-modules-" + group + "-uname-r = " + release }
	return []dnfbridge.Package{
		{
			NEVRA: "kernel-modules-7.2.12-1.x86_64", RepoID: "updates", DownloadSize: 90e6, InstallSize: 300e6,
			Provides: []string{"kernel-modules-uname-r = " + release, "modalias(pci:v00008086d00002918sv*sd*bc*sc*i*)"},
		},
		{
			NEVRA: storage, Installed: true, InstallSize: 2e6, Provides: []string{uname("passthrough"), "kmod(megaraid_sas.ko)"},
		},
		{
			NEVRA: sriov, RepoID: "updates", DownloadSize: 1_250_000, InstallSize: 3_400_000,
			Provides: []string{uname("sriov"), "kmod(igb.ko)", "modalias(pci:v00008086d000010C9sv*sd*bc*sc*i*)"},
		},
		{
			NEVRA: "kernel-modules-gpu-7.2.12-1.x86_64", RepoID: "updates", Excluded: true,
			Provides: []string{uname("gpu"), "kmod(bochs.ko)", "modalias(pci:v00001234d00001111sv*sd*bc*sc*i*)"},
		},
	}
}

// backend stands for the package manager: it does what a test has it do. What it
// installs is a line in the module index of its tree.
type backend struct {
	root string

	mu        sync.Mutex
	does      string        // one of backendDoes
	changed   chan struct{} // closed when that changes
	installed []string
}

// backendDoes are what a backend can be made to do with a transaction.
var backendDoes = []string{
	"fail",     // it cannot download; this is what it does at first
	"download", // it downloads, and does not get beyond the half
	"install",  // it is in the midst of the rpm transaction, and stays there
	"work",
}

func newBackend(root string) *backend {
	return &backend{root: root, does: "fail", changed: make(chan struct{})}
}

func (b *backend) set(does string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.does = does
	close(b.changed)
	b.changed = make(chan struct{})
}

// beyond waits until the backend is to get beyond what it is made to do.
func (b *backend) beyond(ctx context.Context, does string) error {
	for {
		b.mu.Lock()
		now, changed := b.does, b.changed
		b.mu.Unlock()
		switch now {
		case "fail":
			return reason.With(reason.RepoUnreachable, errors.New("cannot download from updates: connection refused"))
		case does:
		default:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (b *backend) Name() string { return "fake" }

func (b *backend) KernelPackages(context.Context, string, bool) (dnfbridge.Listing, error) {
	return dnfbridge.Listing{Packages: repository()}, nil
}

// Find finds no firmware: no driver of the tree names any.
func (b *backend) Find(context.Context, []string, bool) ([]dnfbridge.Package, error) { return nil, nil }

// VendorPackages finds none.
func (b *backend) VendorPackages(context.Context, string, dnfbridge.Vendor, bool) (dnfbridge.VendorListing, error) {
	return dnfbridge.VendorListing{}, nil
}

func (b *backend) InstalledEarlier(context.Context) ([]string, error) { return nil, nil }

func (b *backend) StopIfUnused(context.Context) (bool, error) { return true, nil }

func (b *backend) Resolve(_ context.Context, t dnfbridge.Transaction) ([]dnfbridge.Package, error) {
	return b.missing(t), nil
}

func (b *backend) missing(t dnfbridge.Transaction) []dnfbridge.Package {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(repository(), func(p dnfbridge.Package) bool {
		return !slices.Contains(t.Install, p.NEVRA) || slices.Contains(b.installed, p.NEVRA)
	})
}

func (b *backend) Install(ctx context.Context, t dnfbridge.Transaction, report func(dnfbridge.Progress)) error {
	p := dnfbridge.Progress{Phase: dnfbridge.PhaseResolve}
	report(p)
	packages := b.missing(t)
	if len(packages) == 0 {
		return nil
	}
	for _, each := range packages {
		p.BytesTotal += each.DownloadSize
	}
	p.Phase, p.BytesDone, p.Fraction = dnfbridge.PhaseDownload, p.BytesTotal/2, 0.3
	report(p)
	if err := b.beyond(ctx, "download"); err != nil {
		return err
	}
	p.BytesDone = p.BytesTotal
	report(p)
	if t.DownloadOnly {
		return nil
	}
	if err := t.Commit(t.Install); err != nil {
		return err
	}
	p.Phase, p.Fraction = dnfbridge.PhaseInstall, 0.5
	report(p)
	if err := b.beyond(ctx, "install"); err != nil {
		return err
	}
	return b.unpack(packages)
}

// unpack makes the packages installed.
func (b *backend) unpack(packages []dnfbridge.Package) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	path := filepath.Join(b.root, "lib/modules", release, "modules.alias")
	index, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, p := range packages {
		b.installed = append(b.installed, p.NEVRA)
		if p.NEVRA == sriov {
			index = append(index, "alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb\n"...)
		}
	}
	return renameio.WriteFile(path, index, 0o644) // as depmod does
}

// loader stands for the load step: it binds the driver that the module index of
// its tree names, but for one that is blacklisted.
type loader struct{ root string }

func (loader) Loaded(string) bool { return false }

func (loader) Prepare(context.Context, hwdetect.Slot) {}

func (l loader) Load(_ context.Context, slot hwdetect.Slot) error {
	dir := filepath.Join(l.root, "sys/bus/pci/devices", slot.String())
	modalias, err := os.ReadFile(filepath.Join(dir, "modalias"))
	if err != nil {
		return err
	}
	index, err := kmod.Read(filepath.Join(l.root, "lib/modules", release))
	if err != nil {
		return err
	}
	module := index.Installed(strings.TrimSpace(string(modalias)))[0]
	if module == "megaraid_sas" {
		return reason.With(reason.Blacklisted, errors.New("cannot load megaraid_sas: it is blacklisted in /etc/modprobe.d/local.conf"))
	}
	return os.Symlink("/drivers/"+module, filepath.Join(dir, "driver"))
}

type namer struct{}

func (namer) Names(vendor, _ uint16) (string, string) {
	return map[uint16]string{0x8086: "Intel Corporation", 0x1af4: "Red Hat, Inc."}[vendor], "\x1b[31mCard of the " + strings.Repeat("very ", 12) + "long name"
}

// modules gives the engine the module index of a tree.
type modules struct{ *kmod.Cache }

func (m modules) Modules() (plan.Kernel, error) { return m.Index() }

// testService is an engine over a tree, on a bus of its own.
type testService struct {
	root    string
	bus     *testbus.Bus
	backend *backend
	engine  *daemon.Engine
	client  *api.Client
	stop    func()
}

func serve(t testing.TB) testService {
	t.Helper()
	return serveTree(t, guestTree(t, t.TempDir()), nil)
}

// serveTree serves the guest under root; a gate is why nothing can be done in it.
func serveTree(t testing.TB, root string, gate error) testService {
	t.Helper()
	s := testService{root: root, bus: testbus.Start(t), backend: newBackend(root)}
	kept := filepath.Join(root, guest.StateDir)
	var server *bus.Server
	looked := make(chan struct{}, 1)
	s.engine = daemon.New(daemon.Config{
		Version: "1.0", Release: release, Platform: "kvm", Gate: gate,
		Hardware: sysfs.New(s.root), Modules: modules{kmod.NewCache(filepath.Join(s.root, "lib/modules", release))},
		Firmware: firmware.Guest{Root: root, Release: release}, Outside: outside.Guest{},
		Backend: s.backend, Loader: loader{root}, Namer: namer{}, Cache: state.Catalogs{Dir: kept},
		HistoryFile:    state.History{Dir: kept},
		ModeFile:       state.Mode{Dir: kept},
		UnfinishedFile: state.Unfinished{Dir: kept},
		RestFile:       state.Rest{Path: filepath.Join(kept, "rest")},
		Next:           (&guest.Successor{Root: s.root, Running: release}).Next,
		Log:            zerolog.Nop(),
		Configuration:  func() (config.Config, error) { return config.Load(s.root) },
		Publish: func(v daemon.View) {
			server.Publish(v)
			select {
			case looked <- struct{}{}:
			default:
			}
		},
	})
	server, err := bus.Listen(t.Context(), s.bus.Address, s.engine, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.engine.Run(ctx)
	}()
	s.stop = func() {
		cancel()
		<-done
		_ = server.Close()
	}
	t.Cleanup(s.stop)
	<-looked
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	if s.client, err = api.Connect(t.Context(), s.bus.Address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.client.Close() })
	return s
}

// settledAll says whether all that can happen has.
func settledAll(devices []api.Device) bool {
	return len(devices) > 0 && !slices.ContainsFunc(devices, func(d api.Device) bool { return concernOf(d) == inProgress })
}

// driverd runs the command line, as in a pipe.
func driverd(t *testing.T, address string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaints bytes.Buffer
	code = run(t.Context(), args, console{stdout: &out, stderr: &complaints, bus: address, gate: open})
	if strings.Contains(out.String()+complaints.String(), "\x1b") {
		t.Errorf("driverd %v sends escape sequences to what is no terminal:\n%s%s", args, &out, &complaints)
	}
	return code, out.String(), complaints.String()
}

// open is the gate of a guest in which the service can work.
func open() error { return nil }

// nowhere is the address of a bus that does not exist.
func nowhere(t *testing.T) string { return fmt.Sprintf("unix:path=%s/bus", t.TempDir()) }
