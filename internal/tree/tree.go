// SPDX-License-Identifier: Apache-2.0

// Package tree reads the files of a guest below a folder as one reads what a stranger
// has sent. No link leads out of the folder, only regular files are opened, none is
// waited for, and of none is more read than there should be.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Tree is a folder. Names in it are relative to it.
type Tree struct{ dir string }

// At returns the tree that is in the folder dir. In that of the running system, "/",
// links may be absolute, as none leads out of it.
func At(dir string) Tree { return Tree{filepath.Clean(dir)} }

// Path returns where the folder is.
func (t Tree) Path() string { return t.dir }

// Folder returns where a folder of the tree is. The error is that of a folder out of the
// tree; one that does not exist is none, as there is nothing to read in it.
func (t Tree) Folder(name string) (string, error) {
	path := filepath.Join(t.dir, name)
	if t.dir == "/" {
		return path, nil
	}
	switch info, err := t.Stat(name); {
	case err == nil && !info.IsDir():
		return "", t.failed(name, syscall.ENOTDIR)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	return path, nil
}

// Read returns what is in a file. The error is fs.ErrNotExist if there is none; it is
// an error as well if what is there is no regular file, or of more than limit bytes.
func (t Tree) Read(name string, limit int64) ([]byte, error) {
	file, err := t.open(name, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	// In room for all of it: the indexes of a kernel are of megabytes.
	text := bytes.NewBuffer(make([]byte, 0, file.size+bytes.MinRead))
	if _, err := text.ReadFrom(file); err != nil {
		return nil, t.failed(name, err)
	}
	return text.Bytes(), nil
}

// Open opens a file as Read does. What is added to it meanwhile is not read.
func (t Tree) Open(name string, limit int64) (io.ReadCloser, error) {
	file, err := t.open(name, limit)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (t Tree) open(name string, limit int64) (*bounded, error) {
	// A FIFO, or a device, is not even opened; nor if it has just come there.
	info, err := t.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, t.failed(name, errNotRegular)
	}
	const flags = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_LARGEFILE // which os.Root leaves out, where it is something
	var file *os.File
	if t.dir == "/" {
		file, err = os.OpenFile(filepath.Join(t.dir, name), flags, 0)
	} else {
		err = t.within(name, func(root *os.Root) (err error) {
			file, err = root.OpenFile(name, flags, 0)
			return err
		})
	}
	if err != nil {
		return nil, t.failed(name, err)
	}
	info, err = file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errNotRegular
	case info.Size() > limit:
		err = fmt.Errorf("it holds %d bytes, more than the %d that are read", info.Size(), limit)
	}
	if err != nil {
		_ = file.Close() // only read: nothing can be lost
		return nil, t.failed(name, err)
	}
	return &bounded{io.LimitReader(file, limit), file, info.Size()}, nil
}

var errNotRegular = errors.New("it is not a regular file")

// bounded is a file of which some bytes can be read.
type bounded struct {
	io.Reader
	io.Closer
	size int64
}

// Names lists what is in a folder, sorted. The error is fs.ErrNotExist if there is
// none.
func (t Tree) Names(name string) ([]string, error) {
	dir, err := t.Folder(name)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, t.failed(name, err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Stat is os.Stat for a name in the tree.
func (t Tree) Stat(name string) (info fs.FileInfo, err error) {
	if t.dir == "/" {
		return os.Stat(filepath.Join(t.dir, name))
	}
	err = t.within(name, func(root *os.Root) (err error) {
		info, err = root.Stat(name)
		return err
	})
	return info, err
}

// Readlink is os.Readlink for a name in the tree.
func (t Tree) Readlink(name string) (target string, err error) {
	err = t.within(name, func(root *os.Root) (err error) {
		target, err = root.Readlink(name)
		return err
	})
	return target, err
}

// within does something below the folder.
func (t Tree) within(name string, do func(*os.Root) error) error {
	root, err := os.OpenRoot(t.dir)
	if err == nil {
		err = errors.Join(do(root), root.Close())
	}
	return t.failed(name, err)
}

// failed returns an error with the whole name of what it is about.
func (t Tree) failed(name string, err error) error {
	if err == nil {
		return nil
	}
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		err = at.Err
	}
	return &fs.PathError{Op: "open", Path: filepath.Join(t.dir, name), Err: err}
}
