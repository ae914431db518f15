// SPDX-License-Identifier: Apache-2.0

// Package config reads what the administrator has configured; see
// driverd.toml(5).
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"driverd/internal/tree"
	"driverd/plan"
)

// Where the files are, in the order in which they are read.
const (
	vendorDir = "usr/share/driverd/driverd.toml.d"
	mainFile  = "etc/driverd/driverd.toml"
	localDir  = "etc/driverd/driverd.toml.d"
)

// Folders are those that the files are in, below the root of a guest.
var Folders = []string{vendorDir, filepath.Dir(mainFile), localDir, shippedVendors, localVendors}

// Config is what the files say together.
type Config struct {
	Observe bool // do nothing, and say what would be done
	Policy  plan.Policy

	// Vendors are the drivers from outside the kernel's build that drop-ins describe, some
	// of them enabled.
	Vendors []plan.Vendor

	// StopBackend says whether the package manager's service is stopped after it
	// was used; nil leaves it to the guest's memory.
	StopBackend *bool

	// IdleExit says whether the service ends when it has nothing to do; nil leaves it
	// to the guest's memory.
	IdleExit *bool

	// IgnoreGates are those that are wrong about this guest; see package gate.
	IgnoreGates []string

	Files []string // that were read
}

// Load reads the files under root. What they say is added up; where there can be
// one answer only, the last one counts. The error joins all that is wrong in all
// of them, each with file and line.
func Load(root string) (Config, error) {
	names, err := files(root)
	if err != nil {
		return Config{}, err
	}
	var c Config
	var problems []error
	if c.Vendors, err = Vendors(root); err != nil {
		problems = append(problems, err)
	}
	for _, name := range names {
		if err := c.read(root, name); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return Config{}, errors.Join(problems...)
	}
	if len(c.Vendors) == 0 {
		c.Vendors = nil
	}
	return c, nil
}

// Cache is Load of one guest, again and again: nothing is read of files that have not changed.
// It may be used by one goroutine at a time.
type Cache struct {
	Root string
	kept tree.Kept[Config]
}

// Load is Load of the files as they are now. Nobody may change what it returns.
func (c *Cache) Load() (Config, error) {
	kept, err := c.kept.Get(tree.At(c.Root), Folders, func() (Config, error) { return Load(c.Root) })
	if err != nil {
		return Config{}, err
	}
	return *kept, nil
}

// Files returns the files under root that Load reads, in their order, the drop-ins last.
func Files(root string) ([]string, error) {
	names, err := files(root)
	for i, name := range names {
		names[i] = filepath.Join(root, name)
	}
	vendors, vendorsErr := vendorPaths(root)
	for _, name := range vendors {
		names = append(names, filepath.Join(root, name))
	}
	return names, errors.Join(err, vendorsErr)
}

// files returns their names below root. One in localDir takes the place of its namesake
// in vendorDir.
func files(root string) ([]string, error) {
	vendor, err := dropIns(root, vendorDir)
	if err != nil {
		return nil, err
	}
	local, err := dropIns(root, localDir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range vendor {
		if !slices.Contains(local, name) {
			names = append(names, filepath.Join(vendorDir, name))
		}
	}
	main, err := tree.At(root).Names(filepath.Dir(mainFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the configuration: %w", err)
	}
	if slices.Contains(main, filepath.Base(mainFile)) {
		names = append(names, mainFile)
	}
	for _, name := range local {
		names = append(names, filepath.Join(localDir, name))
	}
	return names, nil
}

// dropIns lists the names in a folder that are read, sorted. Editors leave
// others there.
func dropIns(root, dir string) ([]string, error) {
	found, err := tree.At(root).Names(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the configuration: %w", err)
	}
	var names []string
	for _, name := range found {
		if filepath.Ext(name) == ".toml" && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, nil
}

// read adds what one file says.
func (c *Config) read(root, name string) error {
	text, ok, err := readFile(root, name)
	if !ok || err != nil {
		return err
	}
	path := filepath.Join(root, name)
	c.Files = append(c.Files, path)
	return c.add(root, path, text)
}

// maxFile is how large a file may be, in bytes.
const maxFile = 1 << 20

// readFile returns the text of a file. A link to /dev/null says nothing.
func readFile(root, name string) (text []byte, ok bool, err error) {
	t := tree.At(root)
	if target, err := t.Readlink(name); err == nil && target == "/dev/null" {
		return nil, false, nil
	}
	if text, err = t.Read(name, maxFile); err != nil {
		return nil, false, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return text, true, nil
}
