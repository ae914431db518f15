// SPDX-License-Identifier: Apache-2.0

// Package service runs the service: it makes the engine of its parts, connects it to
// the guest, to the bus and to systemd, and ends with it.
package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	notify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"driverd/api"
	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/daemon/config"
	"driverd/daemon/install"
	"driverd/daemon/load"
	"driverd/daemon/outside"
	"driverd/daemon/state"
	"driverd/daemon/units"
	"driverd/dnfbridge"
	"driverd/hwdetect/firmware"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/modprobe"
	"driverd/hwdetect/sysfs"
	"driverd/hwdetect/udev"
	"driverd/internal/guest"
	"driverd/plan"
)

// modules gives the engine the module index of one release, read anew when it
// has changed on disk.
type modules struct{ *kmod.Cache }

func (m modules) Modules() (plan.Kernel, error) { return m.Index() }

// Guest is what the service looks after, and whom it asks for what it cannot do itself.
type Guest struct {
	Root     string // where its files are
	Release  string // of the kernel that runs, as uname -r has it
	Boot     string // the id of this boot
	Platform string // in the words of systemd-detect-virt(1)
	Bus      string // address of the bus on which the service answers
	State    string // folder of what is kept
	Backend  daemon.Backend
	Loader   daemon.Loader

	SmallMemory bool
}

// Run is the service's life in the guest that it runs in: it returns when ctx ends or
// the service cannot go on. version is what the service says of itself.
func Run(ctx context.Context, version string, log zerolog.Logger) error {
	stayOffHugePages(log)
	release, err := guest.RunningKernel()
	if err != nil {
		return err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil && guest.Gate("/") == nil {
		return fmt.Errorf("cannot tell this boot from others: %w", err)
	}
	var systemd units.Manager
	return Guest{
		Root:        "/",
		Release:     release,
		Boot:        strings.TrimSpace(string(boot)),
		Platform:    platform(&systemd),
		Bus:         cmp.Or(os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "unix:path=/run/dbus/system_bus_socket"),
		State:       stateDirectory(),
		Backend:     install.NewBackend(dnfbridge.NewDNF5(dnfbridge.SystemBus, log), &systemd, log),
		Loader:      load.NewUnits(&systemd),
		SmallMemory: smallMemory(),
	}.Run(ctx, version, log)
}

// Run is the service's life in a guest, as that of the function.
func (g Guest) Run(ctx context.Context, version string, log zerolog.Logger) (err error) {
	modulesDir := filepath.Join(g.Root, "lib/modules", g.Release)
	closed := guest.Gate(g.Root)
	restFile := state.Rest{Path: filepath.Join(g.Root, api.RestFile)}
	rest := newRest(restFile)
	// The service listens before the engine knows anything, and takes its name
	// when the engine has looked once: nobody meets it empty.
	var server *bus.Server
	looked := make(chan struct{})
	var once sync.Once
	law := modprobe.Cache{Root: g.Root}
	engine := daemon.New(daemon.Config{
		Version:        version,
		Release:        g.Release,
		Boot:           g.Boot,
		Platform:       g.Platform,
		Hardware:       sysfs.New(g.Root),
		Modules:        modules{kmod.NewCache(modulesDir)},
		Firmware:       firmware.Guest{Root: g.Root, Release: g.Release},
		Outside:        outside.Guest{Folders: outside.Folders},
		Backend:        g.Backend,
		Loader:         g.Loader,
		Namer:          guest.Names{},
		Cache:          state.Catalogs{Dir: g.State},
		HistoryFile:    state.History{Dir: g.State},
		ModeFile:       state.Mode{Dir: g.State},
		UnfinishedFile: state.Unfinished{Dir: g.State},
		RestFile:       restFile,
		Next:           (&guest.Successor{Root: g.Root, Running: g.Release}).Next,
		Log:            log,
		Configuration:  (&config.Cache{Root: g.Root}).Load,
		Law:            func() plan.Law { return law.Read() },
		SmallMemory:    g.SmallMemory,
		Gate:           closed,
		Publish: func(v daemon.View) {
			server.Publish(v)
			rest.note(v)
			once.Do(func() { close(looked) })
		},
	})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if server, err = bus.Listen(ctx, g.Bus, engine, log); err != nil {
		return err
	}
	defer func() { _ = server.Close() }()

	var work sync.WaitGroup
	defer work.Wait()
	defer cancel(nil)
	work.Go(func() { engine.Run(ctx) })
	if closed == nil {
		work.Go(func() {
			if err := udev.Watch(ctx, log, engine.Kick, engine.Changed); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("cannot watch for devices: %w", err))
			}
		})
		// Without these, the look of every minute sees what they would tell of.
		folders := append(slices.Clone(outside.Folders), modulesDir)
		for _, folder := range modprobe.Folders {
			folders = append(folders, filepath.Join(g.Root, folder))
		}
		for _, watch := range []func() error{
			func() error { return outside.WatchNetwork(ctx, engine.Kick) },
			func() error { return outside.WatchFolders(ctx, folders, engine.Kick) },
		} {
			work.Go(func() {
				if err := watch(); err != nil && ctx.Err() == nil {
					log.Warn().Str("event", "watch-broken").Msgf("what was to be told of is seen at the periodic look only: %v", err)
				}
			})
		}
	}
	work.Go(func() { watchdog(ctx, engine, log) })

	select {
	case <-looked:
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		if err := server.Serve(); err != nil {
			return err
		}
		// Not before: a client that finds neither the name nor the file says that it does not run.
		if err := restFile.Remove(); err != nil {
			return err
		}
		if closed != nil {
			return answerInactive(ctx, server, closed, log)
		}
		tell(log, notify.SdNotifyReady)
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-hangups:
			engine.Kick()
		case <-rest.news:
		case <-rest.due(server):
			if left, ok := rest.left(server); ok && left <= 0 {
				if err := goToRest(ctx, server, engine, log); ctx.Err() == nil {
					return err
				}
				return nil // it was to end anyway
			}
		case <-server.Closed():
			if ctx.Err() == nil {
				return errors.New("cannot go on: the connection to the bus is lost")
			}
			return nil
		case <-ctx.Done():
			tell(log, notify.SdNotifyStopping)
			if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
				return cause
			}
			return nil
		}
	}
}

// watchdog tells systemd that the engine is alive, each time it has proved it.
func watchdog(ctx context.Context, engine *daemon.Engine, log zerolog.Logger) {
	interval, err := notify.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if engine.Ping(ctx) == nil {
				tell(log, notify.SdNotifyWatchdog)
			}
		case <-ctx.Done():
			return
		}
	}
}

func tell(log zerolog.Logger, what string) {
	if _, err := notify.SdNotify(false, what); err != nil {
		log.Warn().Str("event", "systemd-unreachable").Msgf("cannot tell systemd %s: %v", what, err)
	}
}

// stayOffHugePages has the kernel not back a heap of three megabytes with pages of
// two, where it does that unasked (prctl(2), PR_SET_THP_DISABLE).
func stayOffHugePages(log zerolog.Logger) {
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		log.Debug().Msgf("the service may take more memory than it needs: %v", err)
	}
}

// stateDirectory is where systemd's StateDirectory= says; see systemd.exec(5).
func stateDirectory() string {
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir
	}
	return "/var/lib/driverd"
}

// smallMemory says whether the kernel has less than 2 GB of memory.
func smallMemory() bool {
	var info unix.Sysinfo_t
	return unix.Sysinfo(&info) == nil && uint64(info.Totalram)*uint64(info.Unit) < 2e9 //nolint:unconvert // of 32 bits on some architectures
}

// platform is where this guest runs, in the words of systemd-detect-virt(1).
func platform(systemd *units.Manager) string {
	name, err := systemd.Virtualization()
	if err != nil {
		return "unknown"
	}
	return cmp.Or(name, "none")
}
