// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"
)

// read reads a file into content, part of which is found: its version. Without a
// file, content stays as it is.
func read(path string, content any, found *int) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, content); err != nil {
		return err
	}
	if *found != version {
		return fmt.Errorf("it is of version %d", *found)
	}
	return nil
}

// replace writes content in the place of a file: it is never half written,
// however the service or the machine ends.
func replace(path string, content any) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, data, 0o644)
}

// setAside renames a file that cannot be read, and says so in the error.
func setAside(path string, problem error) error {
	if err := os.Rename(path, path+".corrupt"); err != nil {
		return errors.Join(problem, err)
	}
	return fmt.Errorf("%w; it is now %s.corrupt", problem, path)
}
