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
	"testing"
	"time"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
	"github.com/rs/zerolog"

	"driverd/api"
	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/daemon/config"
	"driverd/daemon/state"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/sysfs"
	"driverd/internal/testbus"
	"driverd/reason"
)

const (
	release = "7.2.12-test"
	sriov   = "kernel-modules-sriov-7.2.12-1.x86_64"
	storage = "kernel-modules-passthrough-7.2.12-1.x86_64"

	igbModalias = "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00"
)

// tree makes a guest's files: what sysfs, depmod and the service would write.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
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
	write(t, filepath.Join(root, "lib/modules", release, "modules.alias"),
		"alias pci:v00001000d00000060sv*sd*bc*sc*i* megaraid_sas\nalias pci:v00001000d00000060sv00001000sd*bc*sc*i* megaraid_other\n")
	write(t, filepath.Join(root, "lib/modules", release, "modules.builtin.modinfo"),
		"virtio_pci.alias=pci:v00001AF4d*sv*sd*bc*sc*i*\x00")
	dir := filepath.Join(root, "var/lib/driverd")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := (state.Catalogs{Dir: dir}).Save(release, repository()); err != nil {
		t.Fatal(err)
	}
	return root
}

// plug puts a device into a tree.
func plug(t *testing.T, root, slot, modalias, class, driver string) {
	t.Helper()
	dir := filepath.Join(root, "sys/bus/pci/devices", slot)
	for name, text := range map[string]string{
		"modalias": modalias, "class": class,
		"vendor": "0x" + modalias[len("pci:v0000"):][:4], "device": "0x" + modalias[len("pci:v00008086d0000"):][:4],
		"subsystem_vendor": "0x0000", "subsystem_device": "0x0000",
	} {
		write(t, filepath.Join(dir, name), text+"\n")
	}
	if driver != "" {
		if err := os.Symlink("/drivers/"+driver, filepath.Join(dir, "driver")); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
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
	}
}

// backend and loader cannot do what they are asked to.
type backend struct{}

func (backend) Name() string { return "fake" }

func (backend) KernelPackages(context.Context, string) ([]dnfbridge.Package, error) {
	return repository(), nil
}

func (backend) Resolve(_ context.Context, t dnfbridge.Transaction) ([]dnfbridge.Package, error) {
	return slices.DeleteFunc(repository(), func(p dnfbridge.Package) bool { return !slices.Contains(t.Install, p.NEVRA) }), nil
}

func (backend) Install(context.Context, dnfbridge.Transaction, func(dnfbridge.Progress)) error {
	return reason.With(reason.RepoUnreachable, errors.New("cannot download from updates: connection refused"))
}

type loader struct{}

func (loader) Loaded(string) bool { return false }

func (loader) Load(context.Context, hwdetect.Slot) error {
	return reason.With(reason.Blacklisted, errors.New("cannot load megaraid_sas: it is blacklisted in /etc/modprobe.d/local.conf"))
}

type namer struct{}

func (namer) Names(vendor, _ uint16) (string, string) {
	return map[uint16]string{0x8086: "Intel Corporation", 0x1af4: "Red Hat, Inc."}[vendor], "\x1b[31mCard of the " + strings.Repeat("very ", 12) + "long name"
}

// service is an engine over a tree, on a bus of its own.
type service struct {
	root   string
	bus    *testbus.Bus
	engine *daemon.Engine
	client *api.Client
	stop   func()
}

func serve(t *testing.T) service {
	t.Helper()
	s := service{root: tree(t), bus: testbus.Start(t)}
	kept := t.TempDir()
	var server *bus.Server
	looked := make(chan struct{}, 1)
	s.engine = daemon.New(daemon.Config{
		Version: "1.0", Release: release, Platform: "kvm",
		Hardware: sysfs.New(s.root), Modules: modules{kmod.NewCache(filepath.Join(s.root, "lib/modules", release))},
		Backend: backend{}, Loader: loader{}, Namer: namer{}, Cache: state.Catalogs{Dir: kept},
		HistoryFile:   state.History{Dir: kept},
		ModeFile:      state.Mode{Dir: kept},
		Log:           zerolog.Nop(),
		Configuration: func() (config.Config, error) { return config.Load(s.root) },
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

// await waits until the devices are as wanted.
func (s service) await(t *testing.T, wanted func([]api.Device) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	kicks, err := s.client.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for {
		devices, err := s.client.Devices(ctx)
		if err != nil {
			t.Fatalf("%v; last: %+v", err, devices)
		}
		if wanted(devices) {
			return
		}
		if _, ok := <-kicks; !ok {
			t.Fatalf("not as wanted: %+v", devices)
		}
	}
}

// settledAll says whether all that can happen has.
func settledAll(devices []api.Device) bool {
	return len(devices) > 0 && !slices.ContainsFunc(devices, func(d api.Device) bool { return concernOf(d) == inProgress })
}

// allow answers for polkit that everybody may do everything.
type allow struct{}

type subjectOf struct {
	Kind    string
	Details map[string]dbus.Variant
}

type verdict struct {
	Authorized, Challenge bool
	Details               map[string]string
}

func (allow) CheckAuthorization(subjectOf, string, map[string]string, uint32, string) (verdict, *dbus.Error) {
	return verdict{Authorized: true}, nil
}

// driverd runs the command line, and sees that its text fits the console.
func driverd(t *testing.T, address string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, complaints bytes.Buffer
	code = run(t.Context(), args, console{stdout: &out, stderr: &complaints, bus: address, gate: open})
	forPrograms := []string{"--json", "completion", "__complete"}
	if !slices.ContainsFunc(args, func(arg string) bool { return slices.Contains(forPrograms, arg) }) {
		for line := range strings.Lines(out.String()) {
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > columns {
				t.Errorf("driverd %v: wider than %d columns: %q", args, columns, line)
			}
		}
	}
	if strings.Contains(out.String()+complaints.String(), "\x1b") {
		t.Errorf("driverd %v sends escape sequences to what is no terminal:\n%s%s", args, &out, &complaints)
	}
	return code, out.String(), complaints.String()
}

// open is the gate of a guest in which the service can work.
func open() error { return nil }

// nowhere is the address of a bus that does not exist.
func nowhere(t *testing.T) string { return fmt.Sprintf("unix:path=%s/bus", t.TempDir()) }
