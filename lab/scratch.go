// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// scratch is the folder of one guest: its sockets, its console, and what it writes to
// its disk. A lock on a file in it says that the guest's process runs.
type scratch struct {
	dir  string
	lock *os.File
}

// scratchName is what such folders are called, in the folder for temporary files: a
// unix socket's path has at most 107 characters.
const scratchName = "driverd-guest-"

// newScratch makes one, and removes those of runs that were killed.
func newScratch() (s scratch, err error) {
	sweepScratch()
	if s.dir, err = os.MkdirTemp("", scratchName); err != nil {
		return s, err
	}
	// It gets its name when it is locked: unlocked, it would be taken for one left.
	name := filepath.Join(s.dir, "lock")
	if s.lock, err = os.Create(name + ".new"); err == nil {
		err = errors.Join(unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB), os.Rename(name+".new", name))
	}
	if err != nil {
		return s, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// sweepScratch removes the folders whose lock nobody holds. One that cannot be removed,
// such as another user's, stays.
func sweepScratch() {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), scratchName+"*", "lock"))
	for _, name := range locks {
		lock, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(name))
		}
		_ = lock.Close()
	}
}

// remove removes the folder.
func (s scratch) remove() error {
	if s.dir == "" {
		return nil
	}
	if err := errors.Join(os.RemoveAll(s.dir), s.lock.Close()); err != nil {
		return fmt.Errorf("cannot remove what a guest has left: %w", err)
	}
	return nil
}
