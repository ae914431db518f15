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

	"driverd/internal/tree"
)

// read reads a file into content, part of which is found: its version. Without a
// file, content stays as it is.
func read(path string, content any, found *int) error {
	data, err := readFile(path)
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

// maxFile is how large a file may be that is read, in bytes: a catalog of a kernel with
// all its modules has three million.
const maxFile = 32 << 20

// readFile reads a file in a folder that the user driverd can write to, and so one that
// root reads as a stranger's: a link may lead anywhere.
func readFile(path string) ([]byte, error) {
	return tree.At(filepath.Dir(path)).Read(filepath.Base(path), maxFile)
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
