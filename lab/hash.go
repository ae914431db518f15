// SPDX-License-Identifier: Apache-2.0

// Package lab is the real guest: a Debian testing root with DNF 5, its kernel's
// modules repackaged as signed RPMs, booted in QEMU with PCI devices that come
// and go through QMP. It is built once, kept in a cache folder, and leaves the
// machine as it found it, packages apart.
//
// The stages, each built from the one before: host packages (Prepare), guest
// root (Root), package repository (Repo), disk image (BuildImage), a running
// guest (Resume). A guest is booted (Boot), or restored as one that runs already.
package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// hashFiles returns a hash of the contents of files and of the files below
// folders; keep chooses among the latter by their path.
func hashFiles(keep func(path string) bool, paths ...string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() || (name != path && !keep(name)) {
				return nil
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			_, _ = fmt.Fprintf(h, "%s\x00", strings.TrimPrefix(name, path))
			_, err = io.Copy(h, f)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("cannot hash %s: %w", path, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
