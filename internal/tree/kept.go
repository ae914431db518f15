// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Stamp is a text that is another one if what these files hold, or the files right in these
// folders, may be something else, as far as can be told without reading them: a file that
// is replaced has another inode, and one that is written to another time of its last change,
// which nobody can set back (inode(7), ctime). Nothing is opened to see that, so a link that
// leads out of the tree may be followed; to read through it is an error still.
func (t Tree) Stamp(names ...string) string {
	var text []byte
	add := func(name string) (folder bool) {
		info, err := os.Stat(filepath.Join(t.dir, name))
		if err != nil {
			text = fmt.Appendf(text, "%s %v\n", name, err)
			return false
		}
		st := info.Sys().(*syscall.Stat_t)
		text = fmt.Appendf(text, "%s %d %d %d %d %d.%d\n", name, st.Dev, st.Ino, st.Mode, st.Size, st.Ctim.Sec, st.Ctim.Nsec)
		return info.IsDir()
	}
	for _, name := range names {
		if !add(name) {
			continue
		}
		inside, err := t.Names(name)
		if err != nil {
			text = fmt.Appendf(text, "%s %v\n", name, err)
		}
		for _, file := range inside {
			add(filepath.Join(name, file))
		}
	}
	return string(text)
}

// Kept is what was last made of some files. The zero Kept is of none. It may be used by one
// goroutine at a time.
type Kept[T any] struct {
	stamp string
	value *T
}

// Get returns what read makes of the named files and folders. It calls read only if they
// have changed since, or if it has failed the last time: the same pointer means the same
// files. Nobody may change what it points to.
func (k *Kept[T]) Get(t Tree, names []string, read func() (T, error)) (*T, error) {
	// Taken first: what is replaced while it is read will differ the next time.
	stamp := t.Stamp(names...)
	if k.value != nil && k.stamp == stamp {
		return k.value, nil
	}
	k.value = nil
	value, err := read()
	if err != nil {
		return nil, err
	}
	k.stamp, k.value = stamp, &value
	return k.value, nil
}
