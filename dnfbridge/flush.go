// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"driverd/reason"
)

// flush has the kernel write out what it holds for the filesystem of a folder:
// rpm writes files and does not wait for the disk, but does for its database. So
// a power failure half a minute later could leave a package that is installed,
// and empty.
func flush(dir string) (err error) {
	if dir == "" {
		return nil
	}
	defer func() {
		if err != nil {
			err = reason.With(reason.TransactionFailed, fmt.Errorf("cannot bring what is installed to the disk: %w", err))
		}
	}()
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }() // only read: nothing can be lost
	return unix.Syncfs(int(folder.Fd()))
}
