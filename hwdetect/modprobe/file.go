// SPDX-License-Identifier: Apache-2.0

package modprobe

import (
	"io"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CommandLine is the file with the kernel's command line, below the root of a guest.
const CommandLine = "proc/cmdline"

// Folders are those of modprobe.d(5), below the root of a guest. A file in an earlier one
// takes the place of its namesakes in the others.
var Folders = []string{"etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"}

const (
	maxFiles = 1000    // that are read
	maxSize  = 1 << 20 // bytes that are read of each
)

// Texts are the texts that a Configuration is made of, by their files relative to root: those of
// modprobe.d in the order of their names, and what of the kernel's command line is about modules.
func Texts(root string) iter.Seq2[string, string] {
	return func(yield func(file, text string) bool) {
		for _, file := range files(root) {
			if !yield(file, readFile(root, file)) {
				return
			}
		}
		words := slices.DeleteFunc(strings.Fields(readFile(root, CommandLine)), func(word string) bool {
			return word != endOfParameters && !slices.Contains(parameters, parameter(word))
		})
		yield(CommandLine, strings.Join(words, " "))
	}
}

// files lists those of modprobe.d that modprobe reads, in its order.
func files(root string) []string {
	folders := make(map[string]string) // by the name of a file
	for _, folder := range Folders {
		entries, _ := os.ReadDir(filepath.Join(root, folder)) // what is not there says nothing
		for _, e := range entries {
			name := e.Name()
			_, known := folders[name]
			if ext := path.Ext(name); !known && !strings.HasPrefix(name, ".") && (ext == ".conf" || ext == ".alias") && !e.IsDir() {
				folders[name] = folder
			}
		}
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		files = append(files, path.Join(folders[name], name))
	}
	return files[:min(len(files), maxFiles)]
}

// readFile returns the text of a file, as far as it may be read: none of what is no
// regular file, and may never end.
func readFile(root, name string) string {
	fd, err := unix.Open(filepath.Join(root, name), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	file := os.NewFile(uintptr(fd), name)
	defer func() { _ = file.Close() }() // only read: nothing can be lost
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil || info.Mode&unix.S_IFMT != unix.S_IFREG {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSize))
	if err != nil {
		return ""
	}
	return string(text)
}
