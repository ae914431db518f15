// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"driverd/hwdetect"
	"driverd/hwdetect/modalias"
	"driverd/internal/tree"
	"driverd/kernelbuild"
)

// Children returns the modules below dir, /lib/modules/RELEASE, that claim children
// with these identities, of any bus. An Index knows PCI devices only: few guests ever
// ask about anything else, and the files of a kernel hold ten times as much of that.
func Children(dir string, identities []string) (map[string]hwdetect.ChildModules, error) {
	c := children{dir: dir, byBus: make(map[string][]string), found: make(map[string]hwdetect.ChildModules, len(identities))}
	c.ask(identities)
	if err := c.installed(); err != nil {
		return nil, err
	}
	clear(c.byBus)
	c.ask(slices.DeleteFunc(slices.Clone(identities), func(id string) bool { return len(c.found[id].Installed) > 0 }))
	if err := c.shipped(); err != nil {
		return nil, err
	}
	return c.found, nil
}

// Children is Children of the cache's directory.
func (c *Cache) Children(identities []string) (map[string]hwdetect.ChildModules, error) {
	return Children(c.dir, identities)
}

// children looks for the modules that claim some identities.
type children struct {
	dir     string
	byBus   map[string][]string // the identities that are asked about
	found   map[string]hwdetect.ChildModules
	indexed map[string]string // file by module
}

func (c *children) ask(identities []string) {
	for _, id := range identities {
		if bus, _, ok := strings.Cut(id, ":"); ok && !slices.Contains(c.byBus[bus], id) {
			c.byBus[bus] = append(c.byBus[bus], id)
		}
	}
}

// matches are the identities that a pattern claims. A pattern that does not spell its
// bus out is none of a bus below PCI.
func (c *children) matches(pattern []byte) (ids []string) {
	bus, _, ok := bytes.Cut(pattern, []byte(":"))
	asked := c.byBus[string(bus)]
	if !ok || len(asked) == 0 {
		return nil
	}
	text := string(pattern)
	for _, id := range asked {
		if modalias.Match(text, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// installed looks into what depmod has indexed.
func (c *children) installed() error {
	if len(c.byBus) == 0 {
		return nil
	}
	c.indexed = make(map[string]string)
	err := eachFile(c.dir, func(file string, _ []byte) {
		if !filepath.IsAbs(file) {
			c.indexed[kernelbuild.ModuleOfFile(file)] = file
		}
	})
	if err != nil {
		return err
	}
	return eachAlias(c.dir, "", func(pattern, module []byte) {
		for _, id := range c.matches(pattern) {
			name := kernelbuild.ModuleName(string(module))
			if found := c.found[id]; c.isThere(c.indexed[name]) && !slices.Contains(found.Installed, name) {
				found.Installed = append(found.Installed, name)
				c.found[id] = found
			}
		}
	})
}

// isThere says whether there is a file, or a link as EL's weak-modules makes to a module of
// another build.
func (c *children) isThere(file string) bool {
	if file == "" {
		return false
	}
	info, err := os.Lstat(filepath.Join(c.dir, file))
	return err == nil && !info.IsDir()
}

// shipped looks into the index of the kernel's build.
func (c *children) shipped() error {
	if len(c.byBus) == 0 {
		return nil
	}
	f, err := tree.At(c.dir).Open(BuildFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the index of kernel modules: %w", err)
	}
	defer func() { _ = f.Close() }() // only read: nothing can be lost
	var module hwdetect.Module       // whose stanza is being read
	var file string
	for line, err := range indexLines(f) {
		switch {
		case errors.As(err, new(formatError)):
			return nil // Problem of the Index says so
		case err != nil:
			return fmt.Errorf("cannot read the index of kernel modules: %w", err)
		}
		key, value, _ := bytes.Cut(line, []byte(" "))
		switch string(key) {
		case "module":
			module, file = hwdetect.Module{Name: kernelbuild.ModuleName(string(value))}, ""
		case "group":
			module.Group = string(value)
		case "file":
			file = string(value)
		case "alias":
			for _, id := range c.matches(value) {
				c.ships(id, module, file)
			}
		}
	}
	return nil
}

// ships notes that a module of the build claims an identity.
func (c *children) ships(id string, module hwdetect.Module, file string) {
	found := c.found[id]
	if module.Name == "" || slices.ContainsFunc(found.Shipped, func(m hwdetect.Module) bool { return m.Name == module.Name }) {
		return
	}
	found.Shipped = append(found.Shipped, module)
	if fs.ValidPath(file) && c.indexed[module.Name] == "" && c.isThere(file) {
		found.Fresh = append(found.Fresh, module.Name)
	}
	c.found[id] = found
}
