// SPDX-License-Identifier: Apache-2.0

package kmod

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"driverd/internal/tree"
)

// lineSize is the longest line of depmod's that is read whole, in bytes: a dozen times the
// longest there is.
const lineSize = 32 << 10

// lines are those of a file in dir, one by one: the indexes of a kernel are of megabytes. A file
// that does not exist has none. Of a line that is too long the beginning is one. If the file
// cannot be read, an error is the last.
func lines(dir, name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := tree.At(dir).Open(name, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err == nil {
			defer func() { _ = f.Close() }() // only read: nothing can be lost
			text, rest := bufio.NewReaderSize(f, lineSize), false
			for err == nil {
				var line []byte
				line, err = text.ReadSlice('\n')
				long := errors.Is(err, bufio.ErrBufferFull)
				if long {
					err = nil
				}
				if len(line) > 0 && !rest && !yield(line, nil) {
					return
				}
				rest = long
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, fmt.Errorf("cannot read the index of kernel modules: %w", err))
		}
	}
}

// eachAlias goes through modules.alias: the patterns that may match what begins with a prefix,
// each with its module.
func eachAlias(dir, prefix string, do func(pattern, module []byte)) error {
	for line, err := range lines(dir, aliasFile) {
		if err != nil {
			return err
		}
		// alias PATTERN MODULE
		rest, ok := bytes.CutPrefix(line, []byte("alias "))
		if !ok || !mayMatch(rest, prefix) {
			continue
		}
		if f := bytes.Fields(rest); len(f) == 2 {
			do(f[0], f[1])
		}
	}
	return nil
}

// eachFile goes through modules.dep: the files of modules, each with those that it needs, which
// are all of them, and not one hop only.
func eachFile(dir string, do func(file string, needs []byte)) error {
	for line, err := range lines(dir, depFile) {
		if err != nil {
			return err
		}
		// PATH: PATH...
		file, needs, _ := bytes.Cut(line, []byte(":"))
		do(string(file), needs)
	}
	return nil
}
