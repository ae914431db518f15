// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Cache keeps the Index of one directory and reads it again only when its
// files changed. It may be used by many goroutines.
type Cache struct {
	dir string

	mu    sync.Mutex
	index *Index
	seen  [len(Files)]stamp
}

// NewCache returns a cache of the index of dir, /lib/modules/RELEASE. It reads
// nothing yet.
func NewCache(dir string) *Cache { return &Cache{dir: dir} }

// Index returns the index as the files are now. The same pointer means the
// same index. An error is not kept: the next call tries again.
func (c *Cache) Index() (*Index, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The stamps are taken first: a file replaced while it is read will differ
	// from them next time.
	var now [len(Files)]stamp
	for i, name := range Files {
		var err error
		if now[i], err = stampOf(filepath.Join(c.dir, name)); err != nil {
			return nil, fmt.Errorf("cannot read the index of kernel modules: %w", err)
		}
	}
	if c.index != nil && now == c.seen {
		return c.index, nil
	}
	index, err := Read(c.dir)
	if err != nil {
		return nil, err
	}
	c.index, c.seen = index, now
	return index, nil
}

// stamp tells one content of a file from another, as far as one can without
// reading it. depmod replaces its files, so that the inode changes. The zero
// stamp is that of no file.
type stamp struct {
	device, inode uint64
	size          int64
	mtime         time.Time
}

func stampOf(name string) (stamp, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil
	}
	if err != nil {
		return stamp{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return stamp{device: st.Dev, inode: st.Ino, size: info.Size(), mtime: info.ModTime()}, nil
}
