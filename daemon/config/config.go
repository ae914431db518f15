// SPDX-License-Identifier: Apache-2.0

// Package config reads what the administrator has configured; see
// driverd.toml(5).
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"driverd/plan"
)

// Where the files are, in the order in which they are read.
const (
	vendorDir = "usr/share/driverd/driverd.toml.d"
	mainFile  = "etc/driverd/driverd.toml"
	localDir  = "etc/driverd/driverd.toml.d"
)

// Config is what the files say together.
type Config struct {
	Observe bool // do nothing, and say what would be done
	Policy  plan.Policy

	// StopBackend says whether the package manager's service is stopped after it
	// was used; nil leaves it to the guest's memory.
	StopBackend *bool

	// IgnoreGates are those that are wrong about this guest; see package gate.
	IgnoreGates []string

	Files []string // that were read
}

// Load reads the files under root. What they say is added up; where there can be
// one answer only, the last one counts. The error joins all that is wrong in all
// of them, each with file and line.
func Load(root string) (Config, error) {
	paths, err := Files(root)
	if err != nil {
		return Config{}, err
	}
	var c Config
	var problems []error
	for _, path := range paths {
		if err := c.read(path); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return Config{}, errors.Join(problems...)
	}
	return c, nil
}

// Files returns the files under root that Load reads, in their order. One in
// localDir takes the place of its namesake in vendorDir.
func Files(root string) ([]string, error) {
	vendor, err := dropIns(root, vendorDir)
	if err != nil {
		return nil, err
	}
	local, err := dropIns(root, localDir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range vendor {
		_, err := os.Lstat(filepath.Join(root, localDir, name))
		if errors.Is(err, fs.ErrNotExist) {
			paths = append(paths, filepath.Join(root, vendorDir, name))
		}
	}
	path := filepath.Join(root, mainFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		paths = append(paths, path)
	}
	for _, name := range local {
		paths = append(paths, filepath.Join(root, localDir, name))
	}
	return paths, nil
}

// dropIns lists the names in a folder that are read, sorted. Editors leave
// others there.
func dropIns(root, dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the configuration: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); filepath.Ext(name) == ".toml" && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, nil
}

// read adds what one file says.
func (c *Config) read(path string) error {
	text, ok, err := readFile(path)
	if !ok || err != nil {
		return err
	}
	c.Files = append(c.Files, path)
	return c.add(path, text)
}

// readFile returns the text of a file. A link to /dev/null says nothing, and
// nothing is read from what may never end.
func readFile(path string) (text []byte, ok bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, fmt.Errorf("cannot read the configuration: %w", err)
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeCharDevice != 0:
		return nil, false, nil
	case !mode.IsRegular():
		return nil, false, fmt.Errorf("cannot read the configuration: %s is not a regular file", path)
	}
	if text, err = os.ReadFile(path); err != nil {
		return nil, false, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return text, true, nil
}
