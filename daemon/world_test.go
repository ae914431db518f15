// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"driverd/daemon"
	"driverd/daemon/config"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/plan"
	"driverd/reason"
)

const release = "7.2.12+deb14-amd64"

// world is a guest in memory: devices, modules on disk, repositories. The
// engine sees it through its interfaces; a test changes it and kicks.
type world struct {
	mu        sync.Mutex
	devices   map[hwdetect.Slot]hwdetect.Device
	stays     uint64 // that have begun
	installed *kernel
	packages  []dnfbridge.Package
	published daemon.View

	parts      map[hwdetect.Slot]hwdetect.Parts
	partsReads int
	claims     map[string]hwdetect.ChildModules
	asked      [][]string // identities

	looks    int
	listings int
	renewals int // listings with the metadata renewed
	installs [][]string
	commits  int      // of them that were carried out
	allowed  []string // in the last of them
	prepared []hwdetect.Slot
	loads    []hwdetect.Slot
	inKernel []string // modules that were loaded before

	vendor       map[string][]dnfbridge.Package // of a vendor's driver, by the kernel
	vendorsAsked []string                       // kernels
	badVendor    error
	onVendor     func(context.Context, dnfbridge.Vendor) error // before it is asked about

	lacking  []string            // files of firmware
	firmware []dnfbridge.Package // that the repositories have
	holds    map[string]string   // the names of their packages, by file
	finds    [][]string          // what was looked for
	onFind   func() error        // nil goes well

	// Modules can be loaded when they are unpacked, 3 s before depmod is through.
	early    bool
	unpacked map[string]string // modules by alias

	// What the next steps do; nil is what goes well.
	onList    func(context.Context) error
	onRenew   func() // when the metadata is renewed
	onInstall func(packages []string) error
	onLoad    func(hwdetect.Slot) error

	onLoadContext func(context.Context) error
	running       map[hwdetect.Slot]bool // load steps
	overlap       bool                   // two of them ran in one slot at once
	onResolve     error
	onPublish     func()
	log           io.Writer
	saved         *daemon.Learned

	ways         []string // out of the guest
	onWays       func()   // before they are read
	repositories string   // how they are configured

	config    config.Config
	badConfig error
	law       plan.Law

	next  daemon.Next         // what the next boot brings
	later []dnfbridge.Package // of that kernel

	has     map[string]bool // packages that are installed, by NEVRA
	history []daemon.Entry
	enabled []string // vendors, as the history has it
	spoiled error    // what is wrong with the file of the history; a Save mends it
	mode    daemon.Mode
	full    error // of everything that is to be kept
	boot    string
	begun   map[string]string    // packages, by the boot in which they were being installed
	earlier []string             // that the steps of an earlier service install
	spoilt  bool                 // what is installed cannot be loaded until it is installed again
	stayed  []daemon.Stayed      // when the service came to rest
	steps   []dnfbridge.Progress // that an Install begins with
	locked  bool                 // somebody has the lock of the package database when it is to begin
	gate    error

	earlierTakes time.Duration // until they have ended

	rests int  // how often the backend was to be stopped
	busy  bool // somebody uses it
	small bool // the guest has little memory
}

// kernel claims aliases with modules.
type kernel struct {
	builtIn, installed map[string]string
	shipped            map[string]hwdetect.Module
	also               []hwdetect.Claim // of all devices that match
}

func (k *kernel) Installed(alias string) (names []string) {
	for _, c := range k.Claims(hwdetect.Installed, alias) {
		names = append(names, c.Module.Name)
	}
	return names
}

func (k *kernel) Problem() error { return nil }

func (k *kernel) Claims(source hwdetect.Source, alias string) []hwdetect.Claim {
	var m hwdetect.Module
	switch source {
	case hwdetect.BuiltIn:
		m.Name = k.builtIn[alias]
	case hwdetect.Installed:
		m.Name = k.installed[alias]
	case hwdetect.Shipped:
		m = k.shipped[alias]
	}
	var claims []hwdetect.Claim
	if m.Name != "" {
		claims = append(claims, hwdetect.Claim{Source: source, Alias: alias, Module: m})
	}
	for _, c := range k.also {
		if c.Source == source && modalias.Match(c.Alias, alias) {
			claims = append(claims, c)
		}
	}
	return claims
}

// driver is one that the repositories have.
type driver struct{ module, alias, nevra string }

var (
	igb  = driver{"igb", "pci:v00008086d000010C9sv00008086sd0000A03Cbc02sc00i00", "kernel-modules-sriov-1-1.x86_64"}
	mega = driver{"megaraid_sas", "pci:v00001000d00000060sv00001000sd00001013bc01sc04i00", "kernel-modules-passthrough-1-1.x86_64"}
)

const edu = "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00"

func newWorld() *world {
	w := &world{
		devices:   make(map[hwdetect.Slot]hwdetect.Device),
		installed: &kernel{map[string]string{}, map[string]string{}, map[string]hwdetect.Module{}, nil},
		has:       make(map[string]bool),
		running:   make(map[hwdetect.Slot]bool),
		unpacked:  make(map[string]string),
	}
	for _, d := range []driver{igb, mega} {
		w.packages = append(w.packages, dnfbridge.Package{
			NEVRA: d.nevra, RepoID: "lab",
			Provides: []string{strings.TrimSuffix(d.nevra, "-1-1.x86_64") + "-uname-r = " + release, "modalias(" + d.alias + ")", "kmod(" + d.module + ".ko)", "noise"},
		})
	}
	return w
}

func slot(n uint8) hwdetect.Slot { return hwdetect.Slot{Bus: n} }

func (w *world) plug(n uint8, alias string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stays++
	w.devices[slot(n)] = hwdetect.Device{Slot: slot(n), Generation: w.stays, Modalias: alias}
}

// change lets f change the world while an engine lives in it.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) unplug(n uint8) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.devices, slot(n))
}

func (w *world) looked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.looks
}

func (w *world) Devices() ([]hwdetect.Device, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	var all []hwdetect.Device
	for _, d := range w.devices {
		all = append(all, d)
	}
	return all, nil
}

// Parts returns what is below a device.
func (w *world) Parts(s hwdetect.Slot) (hwdetect.Parts, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partsReads++
	return w.parts[s], nil
}

// Children knows what claims the children in claims.
func (w *world) Children(identities []string) (map[string]hwdetect.ChildModules, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, identities)
	return w.claims, nil
}

func (w *world) Modules() (plan.Kernel, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.installed, nil
}

// brought returns the packages that are installed.
func (w *world) brought() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.has))
}

// view returns what was published last.
func (w *world) view() daemon.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.published
}

func spend(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *world) Loaded(module string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.inKernel, module)
}

// offer does what the kernel does with a driver that was loaded for the device in
// a slot: all devices of its kind get it.
func (w *world) offer(s hwdetect.Slot, driver string) {
	for other, d := range w.devices {
		if d.Modalias == w.devices[s].Modalias {
			d.Driver = driver
			w.devices[other] = d
		}
	}
}

func (w *world) Prepare(_ context.Context, s hwdetect.Slot) {
	w.change(func() { w.prepared = append(w.prepared, s) })
}

// Load binds the device's driver.
func (w *world) Load(ctx context.Context, s hwdetect.Slot) error {
	w.change(func() {
		w.overlap = w.overlap || w.running[s]
		w.running[s] = true
	})
	defer w.change(func() { w.running[s] = false })
	if w.onLoadContext != nil {
		return w.onLoadContext(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loads = append(w.loads, s)
	if w.onLoad != nil {
		return w.onLoad(s)
	}
	d, ok := w.devices[s]
	if !ok {
		return nil
	}
	if w.spoilt {
		return reason.With(reason.ProbeFailed, errors.New("Exec format error"))
	}
	if d.Driver = cmp.Or(w.installed.installed[d.Modalias], w.unpacked[d.Modalias]); d.Driver == "" {
		return reason.With(reason.NoDriver, errors.New("no installed module claims it"))
	}
	w.devices[s] = d
	return nil
}

// writer is where the log goes: to the test, or to who reads it.
func (w *world) writer(t *testing.T) io.Writer {
	if w.log != nil {
		return w.log
	}
	return zerolog.NewTestWriter(t)
}

// run starts an engine in the world; it ends with the test, or with stop.
func (w *world) run(t *testing.T) (engine *daemon.Engine, stop func()) {
	t.Helper()
	engine = daemon.New(daemon.Config{
		Release: release, Hardware: w, Modules: w, Firmware: w, Outside: w, Backend: w, Loader: w, Namer: w, Cache: cache{w}, HistoryFile: historyFile{w}, ModeFile: modeFile{w}, UnfinishedFile: unfinishedFile{w}, RestFile: restFile{w}, Boot: w.boot, Gate: w.gate, SmallMemory: w.small,
		Log: zerolog.New(w.writer(t)),
		Next: func() daemon.Next {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.next
		},
		Law: func() plan.Law {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.law
		},
		Configuration: func() (config.Config, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.config, w.badConfig
		},
		Publish: func(v daemon.View) {
			if w.onPublish != nil {
				w.onPublish()
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.published = v
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		engine.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	synctest.Wait()
	return engine, stop
}

// device returns what is published about slot n; no state if nothing is.
func (w *world) device(n uint8) daemon.Device {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.published.Devices {
		if d.Slot == slot(n) {
			return d
		}
	}
	return daemon.Device{}
}

// after lets time pass, and all that is due in it happen.
func after(d time.Duration) {
	time.Sleep(d) // in the bubble's time
	synctest.Wait()
}
