// SPDX-License-Identifier: Apache-2.0

package sysfs

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
// system calls. (os.Root resolves names itself, at five times the cost.)
type folder struct {
	fd    int
	whole bool // it is /: nothing leads out of it
}

func openRoot(name string) (folder, error) {
	fd, err := retry(func() (int, error) { return unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return folder{}, fmt.Errorf("cannot open %s: %w", name, err)
	}
	return folder{fd, filepath.Clean(name) == "/"}, nil
}

// open opens a folder below a root. A link that leads out of the root is an error; below /
// none is looked for, as openat2(2) is not there in a service with RestrictSUIDSGID=.
func (f folder) open(name string) (folder, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	fd, err := retry(func() (int, error) {
		if f.whole {
			return unix.Openat(f.fd, name, flags, 0)
		}
		return unix.Openat2(f.fd, name, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH})
	}, unix.EAGAIN) // somebody has renamed something meanwhile
	if errors.Is(err, unix.EXDEV) {
		err = errors.New("it leads out of the tree")
	}
	return folder{fd: fd}, err
}

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

// retry repeats a system call that a signal has disturbed, or what else gives such an error.
func retry(call func() (int, error), or ...unix.Errno) (int, error) {
	for {
		n, err := call()
		if err == nil {
			return n, nil
		}
		var errno unix.Errno
		if !errors.As(err, &errno) || errno != unix.EINTR && !slices.Contains(or, errno) {
			return n, err
		}
	}
}
