// SPDX-License-Identifier: Apache-2.0

// Package dnfroot runs a real dnf5daemon-server, with a system bus and polkitd
// of its own, in a root of its own: no virtual machine, nothing of the host's
// bus, package database or mounts is touched. It needs root.
package dnfroot

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

//go:embed init.sh
var initScript string

// startTimeout bounds the way to a listening bus: mounts and one small daemon.
const startTimeout = 20 * time.Second

// Root is a running root: its own mount and PID namespace over an overlay, so
// that nothing written in it outlives it. The network is the host's.
type Root struct {
	// Bus is the D-Bus address of its system bus, usable from the host.
	Bus string

	scratch string
	init    *exec.Cmd
	hold    io.Closer // its end ends the root
	output  *bytes.Buffer
}

// Start runs a root over the tree lower, which stays untouched: a distribution
// with dbus-daemon, polkitd and dnf5daemon-server. It returns when the bus
// listens. End it with Stop; it also ends when this process does.
func Start(ctx context.Context, lower string) (*Root, error) {
	root, err := start(ctx, lower)
	if err != nil {
		return nil, fmt.Errorf("cannot start a root over %s: %w", lower, err)
	}
	return root, nil
}

func start(ctx context.Context, lower string) (_ *Root, err error) {
	scratch, err := os.MkdirTemp("", "dnfroot-")
	if err != nil {
		return nil, err
	}
	r := &Root{
		Bus:     "unix:path=" + filepath.Join(scratch, "bus", "system_bus_socket"),
		scratch: scratch,
		output:  new(bytes.Buffer),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Stop())
		}
	}()
	// The bus drops its privileges, and clients of any user come through here.
	for _, dir := range []string{scratch, filepath.Join(scratch, "mnt"), filepath.Join(scratch, "bus")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
	}

	r.init = exec.Command("/bin/sh", "-c", initScript, "init", lower, scratch)
	r.init.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	r.init.Stderr = r.output
	if r.hold, err = r.init.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := r.init.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.init.Start(); err != nil {
		r.init = nil
		return nil, err
	}
	listening := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(stdout).ReadString('\n') // the bus prints its address
		listening <- err
	}()
	select {
	case err := <-listening:
		if err != nil {
			return nil, fmt.Errorf("its bus did not come up: %w", err)
		}
		return r, nil
	case <-time.After(startTimeout):
		return nil, fmt.Errorf("its bus did not come up within %v", startTimeout)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Path is where a file of the root is on the host.
func (r *Root) Path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(r.init.Process.Pid), "root", name)
}

// Command prepares a command to run inside the root, as root, in /.
func (r *Root) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	pid := strconv.Itoa(r.init.Process.Pid)
	enter := []string{
		"--target", pid, "--mount", "--pid", "--root", "--wd=/proc/" + pid + "/root", "--",
		"/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", name,
	}
	return exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
}

// Run runs a command inside the root and returns its output. The error of a
// failed command carries what it said.
func (r *Root) Run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := r.Command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("cannot run %s %s in the root: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// WriteFile writes a file of mode 0644 inside the root, and its folders.
func (r *Root) WriteFile(ctx context.Context, name string, data []byte) error {
	cmd := r.Command(ctx, "/bin/sh", "-ec", `umask 022; mkdir -p "${1%/*}"; cat >"$1"`, "sh", name)
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot write %s in the root: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Dial connects to the root's bus. With a uid other than 0 the bus and polkit
// see a process of that user.
func (r *Root) Dial(uid int, opts ...dbus.ConnOption) (*dbus.Conn, error) {
	return dialAs(uid, r.Bus, opts...)
}

// Kill ends the owner of a bus name, as SIGKILL does. The name must have one.
func (r *Root) Kill(ctx context.Context, name string) error {
	conn, err := r.Dial(0)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing is written on it
	var pid uint32
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixProcessID", 0, name).Store(&pid)
	if err != nil {
		return fmt.Errorf("cannot find the process of %s: %w", name, err)
	}
	_, err = r.Run(ctx, "/bin/sh", "-c", "kill -KILL "+strconv.Itoa(int(pid)))
	return err
}

// Stop ends every process of the root and removes what it left.
func (r *Root) Stop() error {
	if r.init != nil {
		_ = r.hold.Close()
		// Process 1 reads the end of its input and exits; the kernel then ends
		// the whole PID namespace and drops its mounts.
		if err := r.init.Wait(); err != nil && r.output.Len() > 0 {
			err = fmt.Errorf("the root ended badly: %w: %s", err, bytes.TrimSpace(r.output.Bytes()))
			return errors.Join(err, os.RemoveAll(r.scratch))
		}
	}
	return os.RemoveAll(r.scratch)
}
