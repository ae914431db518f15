// SPDX-License-Identifier: Apache-2.0

// Package daemon is the engine of driverd: it looks at the hardware, decides
// what each device needs, has it done, and looks again. It is level-triggered:
// whatever wakes it only says that it should look, never what there is to see.
package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"driverd/daemon/config"
	"driverd/daemon/jobs"
	"driverd/daemon/ledger"
	"driverd/dnfbridge"
	"driverd/hwdetect"
	"driverd/plan"
)

// How long the engine waits for what. A burst of events ends with one look at
// the hardware, settleTime after its last event, but maxSettleTime after its
// first at the latest. What comes after that look joins the job that it began.
const (
	settleTime    = 40 * time.Millisecond
	maxSettleTime = 2 * time.Second
	// Events can be lost; the hardware cannot.
	resyncTime = time.Minute
	// A hundred functions of one card come bit by bit, work on them ends so, and
	// each look is about all devices: a look follows another after so long at
	// least, and looks take no more than a fifth of the time; but no device waits for
	// its look any longer than for the end of a burst, however slow the last one was.
	lookGap = 100 * time.Millisecond
)

// Hardware reads the PCI devices.
type Hardware interface {
	Devices() ([]hwdetect.Device, error)
	// Parts reads what the device in a slot consists of.
	Parts(hwdetect.Slot) (hwdetect.Parts, error)
}

// Modules reads which modules the running kernel has on this guest. It returns
// the same value as long as nothing has changed on disk.
type Modules interface {
	Modules() (plan.Kernel, error)
	ChildModules
}

// ChildModules finds the modules of the running kernel that claim children of devices.
type ChildModules interface {
	Children(identities []string) (map[string]hwdetect.ChildModules, error)
}

// Backend is a package manager.
type Backend interface {
	Name() string
	KernelPackages(ctx context.Context, release string, fresh bool) (dnfbridge.Listing, error)
	Find(ctx context.Context, what []string, fresh bool) ([]dnfbridge.Package, error)
	VendorFinder
	Resolve(ctx context.Context, t dnfbridge.Transaction) ([]dnfbridge.Package, error)
	Install(ctx context.Context, t dnfbridge.Transaction, progress func(dnfbridge.Progress)) error
	// InstalledEarlier returns what the package manager has installed for an engine before this
	// one, when it has ended all of that.
	InstalledEarlier(ctx context.Context) ([]string, error)
	// StopIfUnused stops what the package manager has kept running for this engine, unless
	// somebody else uses it, and says whether nothing is left to stop.
	StopIfUnused(ctx context.Context) (done bool, err error)
}

// Loader loads the modules of the device in a slot. It is the only step that
// needs privilege, and takes place in a process of its own.
type Loader interface {
	// Loaded says whether the running kernel has the module.
	Loaded(module string) bool
	// Prepare readies the step for Load, which may not come, until the end of ctx.
	Prepare(ctx context.Context, slot hwdetect.Slot)
	// Load returns when the step has ended, or ctx has. Its error is
	// reason.ErrNotStarted if the step could not be started.
	Load(ctx context.Context, slot hwdetect.Slot) error
}

// Namer knows the names of vendors and products, empty if unknown.
type Namer interface {
	Names(vendor, product uint16) (vendorName, productName string)
}

// Config is what an Engine works with. All fields but Law, SmallMemory and Gate are needed.
type Config struct {
	Version  string
	Release  string // of the running kernel
	Boot     string // the id of this boot, as /proc/sys/kernel/random/boot_id has it
	Platform string // in the words of systemd-detect-virt(1)
	Hardware Hardware
	Modules  Modules
	Firmware Firmware
	Outside  Outside
	Backend  Backend
	Loader   Loader
	Namer    Namer
	Cache    CatalogCache

	HistoryFile    HistoryFile
	ModeFile       ModeFile
	UnfinishedFile UnfinishedFile
	RestFile       RestFile

	// Next looks for the kernel that the next boot brings. It returns the same Kernel
	// as long as nothing has changed on disk.
	Next func() Next

	// Log must not block: see journal.Queue.
	Log zerolog.Logger

	// Configuration reads what the administrator has configured. It is called
	// at every look.
	Configuration func() (config.Config, error)

	// Law reads which modules may not be loaded. It is called at every look.
	Law func() plan.Law

	// SmallMemory says that the guest has little, so that what can be stopped is.
	SmallMemory bool

	// Gate is why nothing can be done in this guest at all, with its reason; nil
	// if something can.
	Gate error

	// Publish is called with the latest view of the world, by one goroutine at a
	// time. It may take long: no device waits for it.
	Publish func(View)
}

// Engine owns the state of all devices, in the one goroutine that runs Run.
type Engine struct {
	Config
	kicks     chan struct{}
	events    chan func()
	publisher *publisher

	ctx       context.Context // of Run, for the work that it starts
	due       time.Time       // of the next look
	rested    time.Time       // when a look may follow the last one
	firstKick time.Time       // of the burst that is settling; zero if none is

	devices   map[hwdetect.Slot]*device
	kernel    plan.Kernel
	changed   changedSlots
	partsRead time.Time // when those of all devices were
	children  *children
	blind     error // why the hardware could not be read, nil if it was

	repositories string // how they were configured at the last look
	changes      ledger.Changes

	ledger     *ledger.Ledger
	jobs       *jobs.Queue
	loading    []*device           // whose load steps run
	incomplete map[ledger.Key]need // packages of a transaction that has not gone well, and that a driver was loaded from

	network     *network
	catalog     *catalog
	offers      *offers
	nextKernel  *nextKernel
	interrupted *interrupted
	idleBackend *idleBackend

	rest   bool                     // the service may end after the last look
	woken  bool                     // the service was at rest before this start: what was not there then has woken it
	stayed map[hwdetect.Stay]Stayed // devices that were there when the service came to rest, and are not seen yet

	history       history
	saves         sync.WaitGroup // of the history
	mode          Mode           // as it was set; empty if it never was
	modes         sync.Mutex     // held while a mode is set
	plans         chan struct{}  // holds one for each Plan that is not answered yet
	progressShown time.Time      // when the progress of a job was last published

	law           plan.Law      // at the last look
	config        config.Config // as it was last good
	misconfigured error         // what is wrong with it now, nil if nothing is
}

// New returns an engine that does nothing until Run.
func New(c Config) *Engine {
	e := &Engine{
		Config:     c,
		kicks:      make(chan struct{}, 1),
		events:     make(chan func()),
		publisher:  newPublisher(c.Publish),
		devices:    make(map[hwdetect.Slot]*device),
		ledger:     ledger.New(),
		jobs:       &jobs.Queue{},
		incomplete: make(map[ledger.Key]need),
		plans:      make(chan struct{}, maxPlans),
	}
	e.network = &network{engine: e}
	e.catalog = &catalog{engine: e, release: c.Release, cache: c.Cache}
	e.offers = &offers{engine: e, release: c.Release}
	e.children = &children{engine: e}
	e.nextKernel = &nextKernel{engine: e}
	e.interrupted = &interrupted{engine: e}
	e.idleBackend = &idleBackend{engine: e}
	return e
}

// Kick says that something may have changed. It never blocks.
func (e *Engine) Kick() {
	select {
	case e.kicks <- struct{}{}:
	default:
	}
}

// Rescan looks at the hardware at once, tries again what failed, and has the metadata of
// the repositories renewed. It returns when it has looked.
func (e *Engine) Rescan(ctx context.Context) error {
	if e.Gate != nil {
		return refuse(ErrRefused, "%v", e.Gate)
	}
	return e.change(ctx, func() {
		e.ledger.ForgetAll()
		e.catalog.renew()
		for _, o := range []*offers{e.offers, e.nextKernel.offers} {
			if o != nil {
				o.forget()
			}
		}
		for _, d := range e.devices {
			d.cancelled, d.tenure = "", tenure{}
		}
		e.look()
	})
}

// Ping returns when the engine's goroutine has answered: the proof of life for
// the watchdog.
func (e *Engine) Ping(ctx context.Context) error {
	return e.call(ctx, func() {})
}

// Run works until ctx ends. What a package manager is doing then goes on
// without it; the next Run finds the result.
func (e *Engine) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.ctx = ctx
	e.catalog.restore()
	e.interrupted.restore()
	e.restoreHistory()
	e.restoreMode()
	e.restoreStayed()
	defer e.closeHistory()
	go e.publisher.run(ctx)
	e.due = time.Now()
	for {
		timer := time.NewTimer(time.Until(e.due))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-e.kicks:
			e.settle()
		case event := <-e.events:
			event()
		case <-timer.C:
			e.look()
		}
		timer.Stop()
	}
}

// settle puts the next look off until the burst is over.
func (e *Engine) settle() {
	now := time.Now()
	if e.firstKick.IsZero() {
		e.firstKick = now
	}
	e.due = now.Add(settleTime)
	if latest := e.firstKick.Add(maxSettleTime); latest.Before(e.due) {
		e.due = latest
	}
	if e.due.Before(e.rested) {
		e.due = e.rested
	}
}

// wakeAt makes sure that the engine looks at t at the latest; the zero time asks for
// nothing.
func (e *Engine) wakeAt(t time.Time) {
	if !t.IsZero() && t.Before(e.due) {
		e.due = t
	}
}

// call runs f in the engine's goroutine and waits for it.
func (e *Engine) call(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case e.events <- func() { f(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// change is call, and waits until the world can see what f has changed.
func (e *Engine) change(ctx context.Context, f func()) error {
	var published <-chan struct{}
	if err := e.call(ctx, func() { f(); published = e.publisher.published() }); err != nil {
		return err
	}
	select {
	case <-published:
	case <-ctx.Done():
	case <-e.ctx.Done():
	}
	return nil
}

// start runs work outside the engine's goroutine, and then finish, with the
// error of work, inside it, followed soon by a look at what has become of it.
func (e *Engine) start(work func(context.Context) error, finish func(error)) {
	go func() {
		err := work(e.ctx)
		e.post(func() {
			finish(err)
			e.wakeAt(e.rested)
		})
	}()
}

// post hands f to the engine's goroutine; after the end of Run nobody wants it.
func (e *Engine) post(f func()) {
	select {
	case e.events <- f:
	case <-e.ctx.Done():
	}
}
