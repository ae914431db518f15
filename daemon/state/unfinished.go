// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"path/filepath"
)

// Unfinished keeps in a folder which packages may not be on the disk yet, each
// with the id of the boot in which it was being installed.
type Unfinished struct {
	Dir string
}

type unfinishedFile struct {
	Version int               `json:"version"`
	Boots   map[string]string `json:"boots"`
}

func (u Unfinished) path() string { return filepath.Join(u.Dir, "unfinished.json") }

// Load returns the boots by package, none if there never were any. A file that
// cannot be understood is renamed before the error is returned.
func (u Unfinished) Load() (map[string]string, error) {
	var f unfinishedFile
	if err := read(u.path(), &f, &f.Version); err != nil {
		return nil, fmt.Errorf("cannot read the unfinished installations: %w", setAside(u.path(), err))
	}
	return f.Boots, nil
}

// Save replaces them, and returns when that is on the disk.
func (u Unfinished) Save(boots map[string]string) error {
	if err := replace(u.path(), unfinishedFile{version, boots}); err != nil {
		return fmt.Errorf("cannot keep the unfinished installations: %w", err)
	}
	return nil
}
