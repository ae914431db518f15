// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const guestCPUs = 2

// Options say what guest is wanted, be it booted or restored.
type Options struct {
	Image *Image

	// Repo answers the guest's requests to its package repository; nil serves
	// Image.Repo. A test that wants a fault wraps the file server.
	Repo http.Handler

	// Program is a driverd to have in the guest in place of its package's, as a file
	// of the host; empty for none. It is for whoever has just changed it.
	Program string

	// Parallel emulates the guest's processors at the same time, where they are
	// emulated. That is faster, and how real ones are, so it is for what is measured
	// or shown; once in many hours such a guest dies (see software).
	Parallel bool
}

// Start says how a guest is started that boots.
type Start struct {
	Machine Machine

	// Devices are there when the guest starts.
	Devices []Device

	// Files are laid over the disk before the guest starts for the first time,
	// by their paths.
	Files map[string]string

	// NoNIC leaves out the lab's own network card: of QEMU's network, netdev
	// "net", there is what Devices have of it.
	NoNIC bool

	// Words are added to the kernel's command line.
	Words []string

	// SELinux has the kernel enforce the policy of BuildSELinuxImage's disk.
	SELinux bool

	// Terminal puts the serial console on this process's terminal, for a
	// person; without it, it goes to a file that Collect saves.
	Terminal bool
}

// Guest is a running guest. Its methods may be called from several goroutines.
type Guest struct {
	System
	scratch
	arch   Architecture
	cmd    *exec.Cmd
	exited chan struct{} // closed when QEMU has ended
	output *os.File      // what QEMU itself says
	args   func(context.Context, *Image) ([]string, error)
	bus    string   // that cards go on, empty for root ports
	cold   []Device // those that are there at every start
	qmp    *qmp
	server *http.Server
	port   int // of the server, on the host's loopback

	mu      sync.Mutex
	plugged map[string]Device // by id
}

// Boot starts a guest on a fresh overlay of its image's disk and returns when
// its agent answers, about twenty seconds later under software emulation. Close
// ends it; so does the end of this process.
func Boot(ctx context.Context, o Options, s Start) (*Guest, error) {
	return start(ctx, o, s, "boot", o.Image.Disk, func(g *Guest) error {
		if err := g.power(ctx, o.Image, s.Terminal); err != nil || o.Image.Initrd != "" {
			return err
		}
		return g.takeProgram(ctx, o)
	})
}

// start makes a guest whose disk is an overlay of the given one, and has begin start it.
func start(ctx context.Context, o Options, s Start, verb, disk string, begin func(*Guest) error) (_ *Guest, err error) {
	accel, err := acceleration(ctx, o)
	if err != nil {
		return nil, err
	}
	own, err := newScratch()
	if err != nil {
		return nil, fmt.Errorf("cannot %s a guest: %w", verb, err)
	}
	dir := own.dir
	g := &Guest{scratch: own, arch: o.Image.arch, System: System{&agent{network: "unix", address: filepath.Join(dir, "agent")}}, bus: s.Machine.bus(), plugged: map[string]Device{}}
	defer func() {
		if err != nil {
			console, _ := os.ReadFile(filepath.Join(dir, "console"))
			said, _ := os.ReadFile(filepath.Join(dir, "qemu"))
			err = fmt.Errorf("cannot %s a guest: %w; QEMU: %s; console: %s", verb, errors.Join(err, g.Close()), tail(said), tail(console))
		}
	}()

	if disk != "" {
		if err := overlay(ctx, disk, filepath.Join(dir, "disk.qcow2")); err != nil {
			return nil, err
		}
	}
	if err := g.serve(o); err != nil {
		return nil, err
	}
	if g.cold, err = g.coldPlug(s.Devices); err != nil {
		return nil, err
	}
	g.args = func(ctx context.Context, image *Image) ([]string, error) {
		started := *image
		var err error
		if started.Initrd, err = initrdWith(ctx, image.Initrd, s.Files, o.Program, dir); err != nil {
			return nil, err
		}
		return qemuArgs(dir, &started, s, g.cold, accel, g.port)
	}
	return g, begin(g)
}

// overlay makes a disk that differs from another one, which may be an overlay too,
// by what is written to it.
func overlay(ctx context.Context, disk, file string) error {
	format := strings.TrimPrefix(filepath.Ext(disk), ".")
	return run(ctx, exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-F", format, "-b", disk, file))
}

// coldPlug claims the ports of the devices that are there at the guest's start.
func (g *Guest) coldPlug(devices []Device) ([]Device, error) {
	claimed := make([]Device, len(devices))
	for i, d := range devices {
		var err error
		if claimed[i], err = g.claim(d); err != nil {
			return nil, err
		}
	}
	return claimed, nil
}

// initrdWith returns an initrd with files added, made in dir: the kernel unpacks
// one archive after the other. program, if there is one, is the guest's driverd.
func initrdWith(ctx context.Context, initrd string, files map[string]string, program, dir string) (string, error) {
	if len(files) == 0 && program == "" || initrd == "" {
		return initrd, nil
	}
	tree := filepath.Join(dir, "files")
	add := func(path string, text []byte, mode os.FileMode) error {
		path = filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("cannot lay files over the disk: %w", err)
		}
		if err := os.WriteFile(path, text, mode); err != nil {
			return fmt.Errorf("cannot lay files over the disk: %w", err)
		}
		return nil
	}
	for path, text := range files {
		if err := add(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if program != "" {
		text, err := os.ReadFile(program)
		if err != nil {
			return "", fmt.Errorf("cannot put driverd into the guest: %w", err)
		}
		if err := add(programPath, text, 0o755); err != nil {
			return "", err
		}
	}
	pack := exec.CommandContext(ctx, "sh", "-c", `{ cat "$1"; find files | cpio --quiet -o -H newc -R 0:0; } >initrd`, "sh", initrd)
	pack.Dir = dir
	return filepath.Join(dir, "initrd"), run(ctx, pack)
}

// serve starts the server of the package repository, and of the program that a
// restored guest is to have.
func (g *Guest) serve(o Options) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot serve the package repository: %w", err)
	}
	handler := o.Repo
	if handler == nil {
		handler = http.FileServer(http.Dir(o.Image.Repo))
	}
	if o.Program != "" {
		mux := http.NewServeMux()
		mux.Handle("/", handler)
		mux.HandleFunc(programPath, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, o.Program) })
		handler = mux
	}
	g.server = &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = g.server.Serve(listener) }() // ends with Close
	g.port = listener.Addr().(*net.TCPAddr).Port
	return nil
}

// launch starts QEMU.
func (g *Guest) launch(args []string, terminal bool) error {
	var err error
	if g.output, err = os.Create(filepath.Join(g.dir, "qemu")); err != nil {
		return err
	}
	cmd := exec.Command(g.arch.qemu, args...)
	cmd.Stderr = g.output
	if terminal {
		cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	}
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start QEMU: %w", err)
	}
	g.cmd, g.exited = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its output
		close(g.exited)
	}()
	return nil
}

// dialQMP connects to QEMU as soon as it has made its socket.
func (g *Guest) dialQMP(ctx context.Context) (*qmp, error) {
	for {
		q, err := dialQMP(ctx, filepath.Join(g.dir, "qmp"))
		if err == nil {
			return q, nil
		}
		select {
		case <-g.exited:
			return nil, errors.New("QEMU ended at once")
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// awaitAgent waits until the guest has opened the agent's port, looking at
// events from mark on.
func (g *Guest) awaitAgent(ctx context.Context, mark int) error {
	_, err := g.qmp.wait(ctx, mark, func(e qmpEvent) bool {
		return e.Name == "VSERPORT_CHANGE" && e.Data.ID == "agent" && e.Data.Open
	})
	if err != nil {
		return fmt.Errorf("the guest agent did not come up: %w%s", err, g.lastWords())
	}
	return nil
}

// lastWords are how QEMU has ended and what it said, empty if it runs.
func (g *Guest) lastWords() string {
	select {
	case <-g.exited:
		said, _ := os.ReadFile(filepath.Join(g.dir, "qemu"))
		return fmt.Sprintf(" (%s): %s", g.cmd.ProcessState, tail(said))
	case <-time.After(time.Second): // its socket may close before it has ended
		return ""
	}
}

// Slowness is by how much a guest of this machine's architecture is faster, about: one of
// another is always emulated.
func (g *Guest) Slowness() time.Duration {
	if g.arch.native() {
		return 1
	}
	return 4
}

// QMPSocket is the socket of a second QMP monitor, for a person's own tools.
func (g *Guest) QMPSocket() string { return filepath.Join(g.dir, "monitor") }

// Wait returns when QEMU has ended, or at the end of ctx.
func (g *Guest) Wait(ctx context.Context) error {
	select {
	case <-g.exited:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the guest at once and removes what belonged to it.
func (g *Guest) Close() error {
	var errs []error
	if g.cmd != nil {
		// Its disk is thrown away: there is nothing to write back.
		if err := g.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, fmt.Errorf("cannot end QEMU: %w", err))
		}
		<-g.exited
	}
	if g.qmp != nil {
		errs = append(errs, g.qmp.conn.Close())
	}
	g.agent.close()
	if g.server != nil {
		errs = append(errs, g.server.Close())
	}
	if g.output != nil {
		errs = append(errs, g.output.Close())
	}
	return errors.Join(append(errs, g.remove())...)
}

// dieWithParent makes a process end with this one, however this one ends.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
