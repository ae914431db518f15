// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// attributeSize is the most that an attribute can hold: sysfs gives each one
// page (Linux: Documentation/filesystems/sysfs.rst).
const attributeSize = 4096

// newBuffer is what one attribute after another is read into: all that one can
// hold, and the byte that tells that it holds more.
func newBuffer() []byte { return make([]byte, attributeSize+1) }

// folder is an open one. A guest may have thousands of functions, each with a
// handful of attributes, and every look reads them all: these are the bare
// system calls. (os.Root resolves names itself, at five times the cost, and
// openat2(2) is not there in a service with RestrictSUIDSGID=.)
type folder struct {
	fd   int
	path string // where it is, known for a root only
}

func openRoot(name string) (folder, error) {
	fd, err := retry(func() (int, error) { return unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return folder{}, fmt.Errorf("cannot open %s: %w", name, err)
	}
	f := folder{fd: fd}
	if f.path, err = f.location(); err != nil {
		f.close()
		return folder{}, fmt.Errorf("cannot open %s: %w", name, err)
	}
	return f, nil
}

// open opens what name leads to below a root. Links may lead anywhere, so it is
// the place that was reached which counts; to open a folder does no harm.
func (f folder) open(name string) (folder, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(f.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return folder{}, err
	}
	inner := folder{fd: fd}
	if f.path == "/" {
		return inner, nil // nothing leads out of it, and to ask is dear
	}
	where, err := inner.location()
	if err == nil && !strings.HasPrefix(where, f.path+"/") {
		err = fmt.Errorf("it leads to %s, out of %s", where, f.path)
	}
	if err != nil {
		inner.close()
		return folder{}, err
	}
	return inner, nil
}

// location asks the kernel where the folder is (proc_pid_fd(5)).
func (f folder) location() (string, error) { return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.fd)) }

// close closes what was only read: nothing can be lost.
func (f folder) close() { _ = unix.Close(f.fd) }

// text reads an attribute without its trailing newline. No link is followed.
func (f folder) text(name string, buffer []byte) (string, error) {
	// A recorded tree may hold a FIFO by that name: do not wait for its writer.
	fd, err := retry(func() (int, error) {
		return unix.Openat(f.fd, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return "", err
	}
	defer folder{fd: fd}.close()
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return "", err
	}
	if info.Mode&unix.S_IFMT != unix.S_IFREG {
		return "", errors.New("not a regular file")
	}
	n, err := retry(func() (int, error) { return unix.Read(fd, buffer) })
	if err != nil {
		return "", err
	}
	if n > attributeSize {
		return "", fmt.Errorf("longer than %d bytes", attributeSize)
	}
	return strings.TrimSuffix(string(buffer[:n]), "\n"), nil
}

// link returns where a link points to.
func (f folder) link(name string, buffer []byte) (string, error) {
	n, err := unix.Readlinkat(f.fd, name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// retry repeats a system call that a signal has disturbed.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
