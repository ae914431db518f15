// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"driverd/daemon"
)

// Rest keeps in a file what is remembered of the devices while the service is at rest. Its path
// is known to a rule of udev's, which has a new device start the service while the file is there.
type Rest struct {
	Path string
}

type restFile struct {
	Version int             `json:"version"`
	Devices []daemon.Stayed `json:"devices"`
}

// Load returns what was kept, nothing without a file.
func (r Rest) Load() ([]daemon.Stayed, error) {
	var f restFile
	if err := read(r.Path, &f, &f.Version); err != nil {
		return nil, fmt.Errorf("cannot read what was kept of the devices: %w", err)
	}
	return f.Devices, nil
}

// Remove removes the file, if it is there.
func (r Rest) Remove() error {
	if err := os.Remove(r.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove what was kept of the devices: %w", err)
	}
	return nil
}

// Keep replaces the file.
func (r Rest) Keep(devices []daemon.Stayed) error {
	if err := replace(r.Path, restFile{version, devices}); err != nil {
		return fmt.Errorf("cannot keep what is known of the devices: %w", err)
	}
	return nil
}
