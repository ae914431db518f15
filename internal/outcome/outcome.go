// SPDX-License-Identifier: Apache-2.0

// Package outcome keeps the files in which a step that root runs leaves how it has ended, for
// the service to read.
package outcome

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
)

// maxFile is how much is read of a file, in bytes.
const maxFile = 64 << 10

// Write replaces a file, all of it or nothing.
func Write(path string, content any) error {
	text, err := json.Marshal(content)
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o644)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	return err
}

// Read reads a file into content. The error is fs.ErrNotExist if there is none.
func Read(path string, content any) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, content)
}

// Remove takes a file away, if there is one.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
