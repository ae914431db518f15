// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"driverd/hwdetect/kmod"
	"driverd/hwdetect/modalias"
	"driverd/hwdetect/modprobe"
	"driverd/kernelbuild"
)

// Early lets modprobe load a driver before depmod(8) has indexed it: a
// package's files are on the disk long before its transaction ends. It makes a
// module root of its own, with indexes of the modules that claim a device and of all
// that modprobe may load for them, and nothing else.
//
// It is an offer, not a promise. Whatever is not certain is an error, and the
// device then waits for the index.
type Early struct {
	Root    string   // for modprobe's --dirname
	Modules []string // that claim the device

	dir   string // /lib/modules/RELEASE
	tree  *kmod.Tree
	build kmod.Build
	law   *modprobe.Configuration
	fresh map[string]lesson   // by module, of those that are known
	needs map[string][]string // by module of the closure, what it needs itself

	builtIn []entry // what the modules of the closure need that is a part of the kernel
}

// lesson is what must be known of a fresh module.
type lesson struct {
	aliases []string
	needs   []string // in the order in which they are loaded
	softdep string   // "pre: NAME... post: NAME..."
}

// PrepareEarly makes the root for the modules below dir, /lib/modules/RELEASE,
// that claim the device with this modalias, and that depmod has not seen yet.
// Where the kernel came with an index of its whole build, that says which they are, and
// what they need; else all of them are looked into, and with hundreds it takes seconds.
// Close removes the root.
func PrepareEarly(ctx context.Context, dir, device string) (*Early, error) {
	build, err := readBuild(dir)
	if err != nil {
		return nil, err
	}
	return prepareEarly(ctx, dir, build, build.Claiming(device), []string{device})
}

// readBuild reads the index of the kernel's build, which is zero if there is none.
func readBuild(dir string) (kmod.Build, error) {
	if err := trusted(filepath.Join(dir, kmod.BuildFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return kmod.Build{}, err
	}
	return kmod.ReadBuild(dir)
}

// prepareEarly is PrepareEarly for devices of any bus, and those of some modules that
// are fresh, or of all that are fresh if there are none.
func prepareEarly(ctx context.Context, dir string, build kmod.Build, modules, devices []string) (_ *Early, err error) {
	tree, err := kmod.ReadTree(dir)
	if err != nil {
		return nil, err
	}
	e := &Early{dir: dir, tree: tree, build: build, law: modprobe.Read("/"), fresh: make(map[string]lesson), needs: make(map[string][]string)}
	names := slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return !tree.IsFresh(m) })
	if len(modules) == 0 {
		if names, err = tree.Fresh(); err != nil {
			return nil, err
		}
	}
	if err := e.learn(ctx, names); err != nil {
		return nil, err
	}
	var aliases []entry
	for _, device := range devices {
		for name, pattern := range e.claims(device) {
			aliases = append(aliases, entry{kernelbuild.ModulePattern(pattern), name, uint32(tree.Rank(name))})
			if !slices.Contains(e.Modules, name) {
				e.Modules = append(e.Modules, name)
			}
		}
	}
	if len(e.Modules) == 0 {
		return nil, errors.New("none that depmod has yet to index does")
	}
	slices.Sort(e.Modules)
	order, err := e.closure(ctx)
	if err != nil {
		return nil, err
	}
	if e.Root, err = os.MkdirTemp("", "driverd-load-"); err != nil {
		return nil, fmt.Errorf("cannot make a module root: %w", err)
	}
	if err := e.fill(order, aliases); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// claims are the fresh modules that are known and claim a device, each with a pattern of
// its that does.
func (e *Early) claims(device string) map[string]string {
	claims := make(map[string]string)
	for name, l := range e.fresh {
		if i := slices.IndexFunc(l.aliases, func(a string) bool { return modalias.Match(a, device) }); i >= 0 {
			claims[name] = l.aliases[i]
		}
	}
	return claims
}

// claiming are the modules that claim a device, in order.
func (e *Early) claiming(device string) []string { return slices.Sorted(maps.Keys(e.claims(device))) }

// Close removes the root.
func (e *Early) Close() error { return os.RemoveAll(e.Root) }

// closure returns the modules that modprobe may load for those that claim the
// device: what they depend on, and what they softly depend on by their own word
// or by that of modprobe's configuration. Each comes after those that it needs.
func (e *Early) closure(ctx context.Context) (order []string, err error) {
	seen, todo := make(map[string]bool), slices.Clone(e.Modules)
	var add func(name string) error
	add = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		needs, soft, err := e.needsOf(ctx, name)
		if err != nil {
			return err
		}
		for _, need := range needs {
			if err := add(need); err != nil {
				return err
			}
		}
		e.needs[name], order, todo = needs, append(order, name), append(todo, soft...)
		return nil
	}
	for i := 0; i < len(todo); i++ { // todo grows
		if err := add(todo[i]); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// needsOf returns the modules that one needs, in the order in which they are loaded, and
// those that it softly needs.
func (e *Early) needsOf(ctx context.Context, name string) (needs, soft []string, err error) {
	if command := e.law.Command(name); command != "" {
		return nil, nil, fmt.Errorf("%s is loaded by a command, which needs the index: %s", name, command)
	}
	if e.tree.IsFresh(name) {
		if err := e.learn(ctx, []string{name}); err != nil {
			return nil, nil, err
		}
		needs, soft = e.fresh[name].needs, kmod.SoftdepModules(e.fresh[name].softdep)
	} else {
		needs, soft = slices.Clone(e.tree.Depends(name)), e.tree.Softdeps(name)
		slices.Reverse(needs)
	}
	here := func(names []string) (modules []string, err error) {
		for _, need := range names {
			switch need = kernelbuild.ModuleName(need); {
			case e.tree.BuiltIn(need):
				e.builtIn = append(e.builtIn, entry{key: need})
			case e.tree.Path(need) == "":
				return nil, fmt.Errorf("%s needs %s, which is not here (yet)", name, need)
			default:
				modules = append(modules, need)
			}
		}
		return modules, nil
	}
	if needs, err = here(needs); err != nil {
		return nil, nil, err
	}
	soft, err = here(slices.Concat(soft, e.law.Softdeps(name)))
	return needs, soft, err
}

// fill writes indexes of the modules, each of which comes after those that it needs, as
// depmod would (kmod: tools/depmod.c).
func (e *Early) fill(order []string, aliases []entry) error {
	release := filepath.Base(e.dir)
	dir := filepath.Join(e.Root, "usr/lib/modules", release)
	// kmod looks in lib/modules or in usr/lib/modules, as it was built.
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Symlink("usr/lib", filepath.Join(e.Root, "lib"))); err != nil {
		return err
	}
	softdeps := e.tree.SoftdepFile()
	var modules []entry
	for i, name := range order {
		file := filepath.Join(e.dir, e.tree.Path(name))
		if err := trusted(file); err != nil {
			return err
		}
		// FILE: FILE..., of all that the module needs: what is loaded first is last.
		line, needed := file+":", []string{name}
		for _, other := range slices.Backward(order[:i]) {
			if slices.ContainsFunc(needed, func(m string) bool { return slices.Contains(e.needs[m], other) }) {
				needed = append(needed, other)
				line += " " + filepath.Join(e.dir, e.tree.Path(other))
			}
		}
		modules = append(modules, entry{key: name, value: line})
		if softdep := e.fresh[name].softdep; softdep != "" {
			softdeps = fmt.Appendf(softdeps, "\nsoftdep %s %s\n", name, softdep)
		}
	}
	for name, text := range map[string][]byte{
		"modules.dep.bin":     encodeIndex(modules),
		"modules.alias.bin":   encodeIndex(aliases),
		"modules.builtin.bin": encodeIndex(e.builtIn),
		"modules.softdep":     softdeps,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// trusted is an error unless a file is root's own: nobody else can have put it there, or
// change it.
func trusted(file string) error {
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() || !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a file that only root can write to", file)
	}
	if strings.ContainsAny(file, ": \t\n") {
		return fmt.Errorf("%q cannot stand in an index of modules", file)
	}
	return nil
}

// learn finds out about those of the fresh modules that are not known yet. The index of
// the build tells, but for the order of soft dependencies, which few modules have; else
// modinfo(8) looks into them, which reads what modprobe can read.
func (e *Early) learn(ctx context.Context, modules []string) error {
	modules = slices.DeleteFunc(slices.Clone(modules), func(name string) bool {
		m, known := e.build.Module(name)
		if known && !m.Soft && m.File == e.tree.Path(name) {
			slices.Reverse(m.Depends) // they are as depmod lists them
			e.fresh[name] = lesson{aliases: m.Aliases, needs: m.Depends}
		}
		_, known = e.fresh[name]
		return known
	})
	if len(modules) == 0 {
		return nil
	}
	var mu sync.Mutex
	var failed error
	var work sync.WaitGroup
	processors := runtime.GOMAXPROCS(0) // decompression is what takes the time
	for part := range slices.Chunk(modules, (len(modules)+processors-1)/processors) {
		work.Go(func() {
			args := []string{"-0"}
			for _, m := range part {
				args = append(args, filepath.Join(e.dir, e.tree.Path(m)))
			}
			text, err := output(ctx, "/sbin/modinfo", args...)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			e.read(text, part)
		})
	}
	work.Wait()
	return failed
}

// read takes in what modinfo -0 printed of modules, one after another, each
// from "filename:" on: KEY=VALUE, each with a NUL at its end.
func (e *Early) read(text []byte, modules []string) {
	n := -1
	for field := range strings.SplitSeq(string(text), "\x00") {
		key, value, ok := strings.Cut(field, "=")
		if strings.HasPrefix(field, "filename:") {
			n++
		} else if ok && n >= 0 && n < len(modules) {
			l := e.fresh[modules[n]]
			switch key {
			case "alias":
				l.aliases = append(l.aliases, value)
			case "depends":
				l.needs = append(l.needs, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
			case "softdep":
				l.softdep = strings.TrimSpace(l.softdep + " " + value)
			}
			e.fresh[modules[n]] = l
		}
	}
}

// output runs one of kmod's commands and returns what it prints.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Env = environment
	var stderr strings.Builder
	command.Stderr = &stderr
	text, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, strings.TrimSpace(stderr.String()))
	}
	return text, nil
}
