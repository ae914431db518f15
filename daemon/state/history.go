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
	Vendors []string       `json:"vendors,omitempty"`
}

func (h History) path() string { return filepath.Join(h.Dir, "history.json") }

// Load returns what was kept. A file that cannot be understood is renamed before the
// error is returned.
func (h History) Load() (daemon.KeptHistory, error) {
	kept, err := h.Read()
	if err != nil {
		return daemon.KeptHistory{}, fmt.Errorf("cannot read the history: %w", setAside(h.path(), err))
	}
	return kept, nil
}

// Read is Load for somebody who only looks: the file stays as it is.
func (h History) Read() (daemon.KeptHistory, error) {
	var f historyFile
	if err := read(h.path(), &f, &f.Version); err != nil {
		return daemon.KeptHistory{}, err
	}
	return daemon.KeptHistory{Entries: f.Entries, Vendors: f.Vendors}, nil
}

// Save replaces it.
func (h History) Save(kept daemon.KeptHistory) error {
	if err := replace(h.path(), historyFile{version, kept.Entries, kept.Vendors}); err != nil {
		return fmt.Errorf("cannot keep the history: %w", err)
	}
	return nil
}
