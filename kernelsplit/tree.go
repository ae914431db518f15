// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Tree is one built module tree: /lib/modules/RELEASE after depmod.
type Tree struct {
	Dir     string
	Release string    // uname -r of the kernel that the modules belong to
	Modules []*Module // sorted by path
	Builtin []string  // paths of the modules in the kernel image, as modules.builtin has them
}

// ReadTree reads the tree in dir, whose last element is the kernel's release.
// depmod(8) must have run on it: a missing modules.dep, or one that disagrees
// with the files that are there, is an error, and so is any module that cannot
// be read whole.
func ReadTree(ctx context.Context, dir string) (*Tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read module tree: %w", err)
	}
	t := &Tree{Dir: abs, Release: filepath.Base(abs)}
	depends, err := readDep(filepath.Join(abs, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("cannot read module tree %s (has depmod run?): %w", dir, err)
	}
	if t.Builtin, err = readLines(filepath.Join(abs, "modules.builtin")); err != nil {
		return nil, fmt.Errorf("cannot read module tree %s: %w", dir, err)
	}
	files, err := findModules(abs)
	if err != nil {
		return nil, fmt.Errorf("cannot read module tree %s: %w", dir, err)
	}
	if err := sameModules(files, depends); err != nil {
		return nil, fmt.Errorf("cannot read module tree %s: %w", dir, err)
	}
	if t.Modules, err = readModules(ctx, abs, files); err != nil {
		return nil, err
	}
	for _, m := range t.Modules {
		for _, d := range depends[m.Path] {
			m.Depends = append(m.Depends, (&Module{Path: d}).Name())
		}
	}
	if err := t.readSoftDepends(); err != nil {
		return nil, fmt.Errorf("cannot read module tree %s (has depmod run?): %w", dir, err)
	}
	return t, nil
}

// readModules reads the files; the time goes into decompression.
func readModules(ctx context.Context, dir string, files []string) ([]*Module, error) {
	modules := make([]*Module, len(files))
	err := parallel(ctx, len(files), func(ctx context.Context, i int) (err error) {
		modules[i], err = readModule(ctx, dir, files[i])
		return err
	})
	return modules, err
}

// parallel calls f for 0 to n-1, on all processors, and returns the first error.
func parallel(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				if err := f(ctx, i); err != nil {
					cancel(err) // the first cause stays, later calls do nothing
				}
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// findModules lists the module files below dir, sorted. A compression that is
// not known is found too, so that reading it can say so.
func findModules(dir string) ([]string, error) {
	var files []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		base := path.Base(p)
		if err == nil && d.Type().IsRegular() && (strings.HasSuffix(base, ".ko") || strings.Contains(base, ".ko.")) {
			files = append(files, p)
		}
		return err
	})
	slices.Sort(files)
	return files, err
}

// readDep reads a modules.dep: "PATH: DEPENDENCY...", all paths relative.
func readDep(file string) (map[string][]string, error) {
	depends := make(map[string][]string)
	err := eachLine(file, func(line string) error {
		module, rest, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("no colon in %.100q", line)
		}
		depends[module] = strings.Fields(rest)
		return nil
	})
	return depends, err
}

func sameModules(files []string, depends map[string][]string) error {
	for _, f := range files {
		if _, ok := depends[f]; !ok {
			return fmt.Errorf("module %s is not in modules.dep: run depmod", f)
		}
	}
	for f := range depends {
		if _, ok := slices.BinarySearch(files, f); !ok {
			return fmt.Errorf("module %s is in modules.dep and not in the tree: run depmod", f)
		}
	}
	return nil
}

func readLines(file string) (lines []string, err error) {
	return lines, eachLine(file, func(line string) error { lines = append(lines, line); return nil })
}

// maxLine is the most bytes that a line of depmod's files may have. The longest
// of Linux 7.2 has 4 kB.
const maxLine = 1 << 18

// eachLine calls f with each line of a file that is not empty. Errors name the
// file and the line.
func eachLine(file string, f func(line string) error) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, maxLine)
	number := 1
	for ; scanner.Scan(); number++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("%s: line %d: %w", file, number, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("%s: line %d: %w", file, number, err)
	}
	return nil
}
