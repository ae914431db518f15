// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"driverd/daemon"
)

// Mode keeps in a folder the mode that was set.
type Mode struct {
	Dir string
}

func (m Mode) path() string { return filepath.Join(m.Dir, "mode") }

// Load returns the mode, empty if none is set. A file that cannot be
// understood is renamed before the error is returned.
func (m Mode) Load() (daemon.Mode, error) {
	mode, err := m.Read()
	if err != nil {
		return "", fmt.Errorf("cannot read the mode: %w", setAside(m.path(), err))
	}
	return mode, nil
}

// Read is Load for somebody who only looks: the file stays as it is.
func (m Mode) Read() (daemon.Mode, error) {
	data, err := readFile(m.path())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	mode := daemon.Mode(strings.TrimSpace(string(data)))
	if err == nil && mode != daemon.Auto && mode != daemon.Observe {
		err = fmt.Errorf("there is no mode %.80q", mode)
	}
	return mode, err
}

// Save replaces the mode; the empty one leaves none.
func (m Mode) Save(mode daemon.Mode) error {
	if mode == "" {
		if err := os.Remove(m.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot forget the mode: %w", err)
		}
		return nil
	}
	if err := renameio.WriteFile(m.path(), []byte(mode+"\n"), 0o644); err != nil {
		return fmt.Errorf("cannot keep the mode: %w", err)
	}
	return nil
}
