// SPDX-License-Identifier: Apache-2.0

package modprobe

import (
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"driverd/internal/tree"
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
		names, _ := tree.At(root).Names(folder) // what is not there says nothing
		for _, name := range names {
			_, known := folders[name]
			if ext := path.Ext(name); !known && !strings.HasPrefix(name, ".") && (ext == ".conf" || ext == ".alias") {
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

// readFile returns the text of a file: none of what is no regular file, may never end, or
// is out of root.
func readFile(root, name string) string {
	text, _ := tree.At(root).Read(name, maxSize) // what cannot be read says nothing
	return string(text)
}
