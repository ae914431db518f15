// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"sync"

	"driverd/internal/tree"
)

// Cache keeps the Index of one directory, and of each of its files what it was made of: an
// installation changes what depmod writes, and nothing else. It may be used by many
// goroutines.
type Cache struct {
	dir string

	mu        sync.Mutex
	installed tree.Kept[owners]
	builtIn   tree.Kept[owners]
	shipped   tree.Kept[shipped]
	general   func() modules
	made      parts
	index     *Index // of them
}

// NewCache returns a cache of the index of dir, /lib/modules/RELEASE. It reads
// nothing yet.
func NewCache(dir string) *Cache {
	return &Cache{dir: dir, general: general(bus)}
}

// Index returns the index as the files are now. The same pointer means the
// same index. An error is not kept: the next call tries again.
func (c *Cache) Index() (*Index, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var now parts
	var err error
	at := tree.At(c.dir)
	if now.installed, err = c.installed.Get(at, []string{aliasFile}, func() (owners, error) { return readInstalled(c.dir, bus) }); err != nil {
		return nil, err
	}
	if now.builtIn, err = c.builtIn.Get(at, []string{builtInFile}, func() (owners, error) { return readBuiltIn(c.dir, bus) }); err != nil {
		return nil, err
	}
	if now.shipped, err = c.shipped.Get(at, []string{BuildFile}, func() (shipped, error) { return readShipped(c.dir, bus) }); err != nil {
		return nil, err
	}
	if c.index == nil || now != c.made {
		c.made, c.index = now, now.index(c.general)
	}
	return c.index, nil
}
