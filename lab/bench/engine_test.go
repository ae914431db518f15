// SPDX-License-Identifier: Apache-2.0

//go:build lab

package bench_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/godbus/dbus/v5"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/daemon/config"
	driverdjournal "driverd/daemon/journal"
	"driverd/daemon/outside"
	"driverd/daemon/state"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/pciids"
	"driverd/hwdetect/sysfs"
	"driverd/internal/testbus"
	"driverd/plan"
	"driverd/reason"
)

// service is all of the service but its process and udev's socket: its engine with
// a distribution's modules and a made sysfs, and its objects on a bus. What it logs
// is made, and not sent.
type service struct {
	hardware atomic.Pointer[sysfs.Scanner]
	engine   *daemon.Engine
	view     chan daemon.View // the newest, if it has not been read
	stop     func()
}

func (s *service) Devices() ([]hwdetect.Device, error) { return s.hardware.Load().Devices() }

func (s *service) Parts(slot hwdetect.Slot) (hwdetect.Parts, error) {
	return s.hardware.Load().Parts(slot)
}

type modules struct{ *kmod.Cache }

func (m modules) Modules() (plan.Kernel, error) { return m.Index() }

type names struct{}

func (names) Names(vendor, product uint16) (string, string) { return pciids.Names(vendor, product) }

// unwilling is a driver that is there, and takes no device.
type unwilling struct{}

func (unwilling) Loaded(string) bool { return true }

func (unwilling) Prepare(context.Context, hwdetect.Slot) {}

func (unwilling) Load(context.Context, hwdetect.Slot) error {
	return reason.With(reason.ProbeFailed, errors.New("the device is not ready"))
}

// backend is dnf5daemon, which stays.
type backend struct{ *dnfbridge.DNF5 }

func (backend) InstalledEarlier(context.Context) ([]string, error) { return nil, nil }

func (backend) StopIfUnused(context.Context) (bool, error) { return true, nil }

// startService returns when the service has looked at the devices below root, and
// has its name on the bus.
func startService(b *testing.B, address, dir, root string) *service {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	s := &service{view: make(chan daemon.View, 1)}
	s.hardware.Store(sysfs.New(root))
	log := zerolog.New(driverdjournal.Writer{Send: func(string, journal.Priority, map[string]string) error { return nil }}).Level(zerolog.InfoLevel)
	release, kept := filepath.Base(dir), b.TempDir()
	dial := func(ctx context.Context, opts ...dbus.ConnOption) (*dbus.Conn, error) {
		return dbus.Connect(address, append(opts, dbus.WithContext(ctx))...)
	}
	var server *bus.Server
	s.engine = daemon.New(daemon.Config{
		Version: "bench", Release: release, Boot: "bench", Platform: "kvm",
		Hardware: s, Modules: modules{kmod.NewCache(dir)}, Firmware: firmware.Guest{Root: root, Release: release},
		Outside: outside.Guest{}, Backend: backend{dnfbridge.NewDNF5(dial, log)}, Loader: unwilling{}, Namer: names{},
		Cache: state.Catalogs{Dir: kept}, HistoryFile: state.History{Dir: kept}, ModeFile: state.Mode{Dir: kept}, UnfinishedFile: state.Unfinished{Dir: kept}, RestFile: state.Rest{Path: filepath.Join(kept, "rest")},
		Next: func() daemon.Next { return daemon.Next{} }, Log: log,
		Configuration: func() (config.Config, error) { return config.Load(root) },
		Publish: func(v daemon.View) {
			server.Publish(v)
			select {
			case <-s.view:
			default:
			}
			s.view <- v
		},
	})
	var err error
	if server, err = bus.Listen(ctx, address, s.engine, log); err != nil {
		b.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() { s.engine.Run(ctx) })
	s.stop = func() {
		cancel()
		work.Wait()
		_ = server.Close()
	}
	<-s.view
	if err := server.Serve(); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkStart is from the start to READY with 200 devices, but for the start of
// a process.
func BenchmarkStart(b *testing.B) {
	_, dir := modulesDir(b)
	root, address := devices(b, 200), testbus.Start(b).Address
	defer cpuTime(b)()
	for b.Loop() {
		startService(b, address, dir, root).stop()
	}
}

// BenchmarkStorm has 120 functions come at once, whose driver does not take them,
// and lasts until that has been found out about each.
func BenchmarkStorm(b *testing.B) {
	_, dir := modulesDir(b)
	none, functions, address := devices(b, 1), devices(b, 120), testbus.Start(b).Address
	var total time.Duration
	for b.Loop() {
		s := startService(b, address, dir, none)
		before := used(b, unix.RUSAGE_SELF)
		s.hardware.Store(sysfs.New(functions))
		for range 120 {
			s.engine.Kick()
		}
		for failed := 0; failed < 120; {
			failed = 0
			for _, d := range (<-s.view).Devices {
				if d.State == plan.Failed {
					failed++
				}
			}
		}
		total += used(b, unix.RUSAGE_SELF) - before
		s.stop()
	}
	b.ReportMetric(float64(total)/float64(b.N), "cpu-ns/op")
}
