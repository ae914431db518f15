// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"driverd/reason"
)

// cacheDir is where dnf5daemon-server keeps what it downloads.
const cacheDir = "/var/cache/dnf5daemon-server"

// room is an error if fewer than size bytes are free where dir is, or will be:
// dnf fails then, and its daemon tells nobody why (dnf5 issue 2416). Where it
// cannot be told, dnf will find out.
func room(dir string, size int64) error {
	if dir == "" {
		return nil
	}
	var s unix.Statfs_t
	err := unix.Statfs(dir, &s)
	for errors.Is(err, fs.ErrNotExist) && dir != "/" {
		dir = filepath.Dir(dir)
		err = unix.Statfs(dir, &s)
	}
	// dnf is root, for whom a filesystem's reserve is there as well.
	if free := int64(s.Bfree) * int64(s.Bsize); err == nil && free < size { //nolint:unconvert // of 32 bits on some architectures
		return reason.With(reason.NoSpace, fmt.Errorf("it takes %s in %s, and %s are free: make room", megabytes(size), dir, megabytes(free)))
	}
	return nil
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
