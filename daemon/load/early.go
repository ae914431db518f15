// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	"driverd/kernelbuild"
)

// Early lets modprobe load a driver before depmod(8) has indexed it: a
// package's files are on the disk long before its transaction ends. It makes a
// module root of its own, which holds links to the modules that claim a device
// and to all that modprobe may load for them, and nothing else.
//
// It is an offer, not a promise. Whatever is not certain is an error, and the
// device then waits for the index.
type Early struct {
	Root    string   // for modprobe's --dirname
	Modules []string // that claim the device

	dir   string // /lib/modules/RELEASE
	tree  *kmod.Tree
	fresh map[string]lesson // by module, of those that were looked into
}

// lesson is what must be known of a fresh module, by its own word.
type lesson struct {
	aliases []string
	needs   []string // hard dependencies and soft ones
}

// PrepareEarly makes the root for the modules below dir, /lib/modules/RELEASE,
// that claim the device with this modalias, and that depmod has not seen yet.
// Where the kernel came with an index of its whole build, only those are looked
// into that claim the device by its word: with hundreds it takes seconds. Close
// removes the root.
func PrepareEarly(ctx context.Context, dir, device string) (*Early, error) {
	shipped, _ := kmod.Shipped(dir, device) // an index that is not understood names none
	var names []string
	for _, c := range shipped {
		if !slices.Contains(names, c.Module.Name) {
			names = append(names, c.Module.Name)
		}
	}
	return prepareEarly(ctx, dir, names, []string{device})
}

// prepareEarly is PrepareEarly for devices of any bus, and those of some modules that
// are fresh, or of all that are fresh if there are none.
func prepareEarly(ctx context.Context, dir string, modules, devices []string) (_ *Early, err error) {
	tree, err := kmod.ReadTree(dir)
	if err != nil {
		return nil, err
	}
	e := &Early{dir: dir, tree: tree, fresh: make(map[string]lesson)}
	names := slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return !tree.IsFresh(m) })
	if len(modules) == 0 {
		if names, err = tree.Fresh(); err != nil {
			return nil, err
		}
	}
	if err := e.learn(ctx, names); err != nil {
		return nil, err
	}
	for _, device := range devices {
		for _, name := range e.claiming(device) {
			if !slices.Contains(e.Modules, name) {
				e.Modules = append(e.Modules, name)
			}
		}
	}
	if len(e.Modules) == 0 {
		return nil, errors.New("none that depmod has yet to index does")
	}
	if e.Root, err = os.MkdirTemp("", "driverd-load-"); err != nil {
		return nil, fmt.Errorf("cannot make a module root: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	all, err := e.closure(ctx)
	if err != nil {
		return nil, err
	}
	return e, e.fill(ctx, all)
}

// claiming are the fresh modules that were looked into and claim a device, in order.
func (e *Early) claiming(device string) (names []string) {
	for name, l := range e.fresh {
		if slices.ContainsFunc(l.aliases, func(a string) bool { return modalias.Match(a, device) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Close removes the root.
func (e *Early) Close() error { return os.RemoveAll(e.Root) }

// closure returns the modules that modprobe may load for those that claim the
// device: what they depend on, and what they softly depend on by their own word
// or by that of modprobe's configuration.
func (e *Early) closure(ctx context.Context) ([]string, error) {
	// In a root that is still empty, the configuration is all there is to show.
	config, err := output(ctx, "/sbin/modprobe", "--dirname", e.Root, "--showconfig")
	if err != nil {
		return nil, err
	}
	soft := kmod.Softdeps(config)
	all := slices.Clone(e.Modules)
	for i := 0; i < len(all); i++ { // all grows
		name := all[i]
		if command := installCommand(config, name); command != "" {
			return nil, fmt.Errorf("%s is loaded by a command, which needs the index: %s", name, command)
		}
		known := soft
		var needs []string
		if e.tree.IsFresh(name) {
			if err := e.learn(ctx, []string{name}); err != nil {
				return nil, err
			}
			needs = e.fresh[name].needs
		} else {
			needs = e.tree.Depends(name)
			known = slices.Concat(soft, e.tree.Softdeps())
		}
		for _, s := range known {
			if modalias.Match(s.Pattern, name) {
				needs = slices.Concat(needs, s.Modules)
			}
		}
		for _, need := range needs {
			need = kernelbuild.ModuleName(need)
			switch {
			case slices.Contains(all, need) || e.tree.BuiltIn(need):
			case e.tree.Path(need) == "":
				return nil, fmt.Errorf("%s needs %s, which is not here (yet)", name, need)
			default:
				all = append(all, need)
			}
		}
	}
	return all, nil
}

// installCommand returns the command that modprobe's configuration has for
// loading a module, empty if it has none.
func installCommand(config []byte, module string) string {
	for line := range strings.Lines(string(config)) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(words) == 3 && words[0] == "install" && modalias.Match(words[1], module) {
			return words[2]
		}
	}
	return ""
}

// fill links the modules, and what the kernel's build says of them, into the
// root, and has depmod index it.
func (e *Early) fill(ctx context.Context, modules []string) error {
	release := filepath.Base(e.dir)
	links := []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"}
	for _, m := range modules {
		links = append(links, e.tree.Path(m))
	}
	// kmod looks in lib/modules or in usr/lib/modules, as it was built.
	if err := errors.Join(os.MkdirAll(filepath.Join(e.Root, "usr/lib"), 0o755), os.Symlink("usr/lib", filepath.Join(e.Root, "lib"))); err != nil {
		return err
	}
	for i, link := range links {
		target := filepath.Join(e.dir, link)
		info, err := os.Lstat(target)
		if errors.Is(err, fs.ErrNotExist) && i < 3 {
			continue // depmod does without, as it does in dir
		}
		if err != nil {
			return err
		}
		// Root's own: nobody else can have put it there, or change it.
		if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() || !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("%s is not a file that only root can write to", target)
		}
		name := filepath.Join(e.Root, "usr/lib/modules", release, link)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Symlink(target, name)); err != nil {
			return err
		}
	}
	_, err := output(ctx, "/sbin/depmod", "-b", e.Root, release)
	return err
}

// learn has modinfo(8), which reads what modprobe can read, look into those of
// the fresh modules that are not known yet.
func (e *Early) learn(ctx context.Context, modules []string) error {
	modules = slices.DeleteFunc(slices.Clone(modules), func(m string) bool { _, known := e.fresh[m]; return known })
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
				l.needs = append(l.needs, kmod.SoftdepModules(value)...)
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
