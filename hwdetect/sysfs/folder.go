// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// attributeSize is the most that an attribute can hold: sysfs gives each one
// page (Linux: Documentation/filesystems/sysfs.rst).
const attributeSize = 4096

// newBuffer is what one attribute after another is read into: all that one can
// hold, and the byte that tells that it holds more.
func newBuffer() []byte { return make([]byte, attributeSize+1) }

// folder is a descriptor of one. A guest may have thousands of functions, each
// with a handful of attributes, and every look reads them all: these are the
// bare system calls. (os.Root costs five times as much, since it resolves names
// itself.)
type folder int

func openRoot(name string) (folder, error) {
	fd, err := retry(func() (int, error) { return unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return -1, fmt.Errorf("cannot open %s: %w", name, err)
	}
	return folder(fd), nil
}

// open opens what name leads to, if it does not lead out of the folder
// (openat2(2), RESOLVE_BENEATH).
func (f folder) open(name string, flags uint64) (folder, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := retry(func() (int, error) { return unix.Openat2(int(f), name, &how) })
	return folder(fd), err
}

// close closes what was only read: nothing can be lost.
func (f folder) close() { _ = unix.Close(int(f)) }

// text reads an attribute without its trailing newline. No link is followed.
func (f folder) text(name string, buffer []byte) (string, error) {
	// A recorded tree may hold a FIFO by that name: do not wait for its writer.
	fd, err := retry(func() (int, error) {
		return unix.Openat(int(f), name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return "", err
	}
	defer folder(fd).close()
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
	n, err := unix.Readlinkat(int(f), name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// retry repeats a system call that was disturbed: by a signal, or by a rename
// somewhere while it resolved a name.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR && err != unix.EAGAIN {
			return n, err
		}
	}
}
