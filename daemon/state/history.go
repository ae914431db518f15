// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"path/filepath"

	"driverd/daemon"
)

// History keeps in a folder what was done.
type History struct {
	Dir string
}

type historyFile struct {
	Version int            `json:"version"`
	Entries []daemon.Entry `json:"entries"`
}

func (h History) path() string { return filepath.Join(h.Dir, "history.json") }

// Load returns the entries, the oldest first. A file that cannot be understood
// is renamed before the error is returned.
func (h History) Load() ([]daemon.Entry, error) {
	entries, err := h.Read()
	if err != nil {
		return nil, fmt.Errorf("cannot read the history: %w", setAside(h.path(), err))
	}
	return entries, nil
}

// Read is Load for somebody who only looks: the file stays as it is.
func (h History) Read() ([]daemon.Entry, error) {
	var f historyFile
	if err := read(h.path(), &f, &f.Version); err != nil {
		return nil, err
	}
	return f.Entries, nil
}

// Save replaces the entries.
func (h History) Save(entries []daemon.Entry) error {
	if err := replace(h.path(), historyFile{version, entries}); err != nil {
		return fmt.Errorf("cannot keep the history: %w", err)
	}
	return nil
}
