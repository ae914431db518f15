// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"driverd/daemon"
)

// History keeps in a folder what was done. The file is replaced as a whole: it
// is never half written, however the service or the machine ends.
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
	data, err := os.ReadFile(h.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		if err = json.Unmarshal(data, &f); err == nil && f.Version != version {
			err = fmt.Errorf("it is of version %d", f.Version)
		}
	}
	return f.Entries, err
}

// Save replaces the entries.
func (h History) Save(entries []daemon.Entry) error {
	data, err := json.Marshal(historyFile{version, entries})
	if err == nil {
		err = renameio.WriteFile(h.path(), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the history: %w", err)
	}
	return nil
}

// setAside renames a file that cannot be read, and says so in the error.
func setAside(path string, problem error) error {
	if err := os.Rename(path, path+".corrupt"); err != nil {
		return errors.Join(problem, err)
	}
	return fmt.Errorf("%w; it is now %s.corrupt", problem, path)
}
