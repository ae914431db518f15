// SPDX-License-Identifier: Apache-2.0

// Package testbus starts a D-Bus daemon of a test's own, so that no test ever
// talks to the machine's.
package testbus

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
)

const config = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:dir=DIR</listen>
  <servicedir>DIR</servicedir>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_connections_per_user">1024</limit>
  <limit name="max_completed_connections">2048</limit>
</busconfig>
`

// Bus is a running bus.
type Bus struct {
	Address string // as D-Bus clients take it
	dir     string
	stop    func()
}

// Stop ends the bus at once, before the test does.
func (b *Bus) Stop() { b.stop() }

// Start starts a bus that ends with the test.
func Start(t testing.TB) *Bus {
	t.Helper()
	// Not t.TempDir: it carries the test's name, and an address may not hold
	// just any character, nor a socket's path just any length.
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("dbus-daemon", "--config-file="+file, "--print-address", "--nofork", "--nopidfile")
	daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaints bytes.Buffer
	daemon.Stderr = &complaints
	out, err := daemon.StdoutPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		t.Fatalf("cannot start a bus: %v", err)
	}
	stop := sync.OnceFunc(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait() // says that it was killed
	})
	t.Cleanup(stop)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		t.Fatalf("cannot read the bus's address: %v\n%s", err, &complaints)
	}
	return &Bus{Address: strings.TrimSpace(address), dir: dir, stop: stop}
}

// Starts has the bus start a service by a name that nobody has, which it does by a program that
// fails at once, and returns what says whether it did.
func (b *Bus) Starts(t testing.TB, name string) (started func() bool) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "started")
	text := "[D-BUS Service]\nName=" + name + "\nExec=/bin/sh -c 'touch " + trace + "; exit 1'\n"
	if err := os.WriteFile(filepath.Join(b.dir, name+".service"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Connect(t).BusObject().Call("org.freedesktop.DBus.ReloadConfig", 0).Err; err != nil {
		t.Fatal(err)
	}
	return func() bool {
		_, err := os.Stat(trace)
		return err == nil
	}
}

// Connect returns a connection that ends with the test.
func (b *Bus) Connect(t testing.TB, options ...dbus.ConnOption) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(b.Address, options...)
	if err != nil {
		t.Fatalf("cannot connect to the bus: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
