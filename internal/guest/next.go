// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"driverd/daemon"
	"driverd/hwdetect/kmod"
)

// Successor shows the engine the next kernel, as soon as its modules are indexed:
// until then DNF is not through with it.
type Successor struct {
	Root, Running string // of the guest's files, and the release of the running kernel

	index  *kmod.Cache
	last   daemon.Next
	loaded []string // modules, when last was found
}

// Next returns the kernel that the boot loader starts next, or nothing if that is the
// running one, or cannot be told.
func (s *Successor) Next() daemon.Next {
	release, doubt := nextRelease(s.Root, s.Running)
	dir := filepath.Join(s.modules(), release)
	if _, err := os.Stat(filepath.Join(dir, "modules.alias")); err != nil || release == s.Running {
		return daemon.Next{}
	}
	if release != s.last.Release {
		s.index = kmod.NewCache(dir)
	}
	index, err := s.index.Index()
	if err != nil {
		return daemon.Next{}
	}
	loaded, err := kmod.LoadedModules(s.Root)
	if err != nil {
		return daemon.Next{}
	}
	next := daemon.Next{Release: release, Kernel: index, Doubt: doubt, Lacks: s.last.Lacks}
	if next.Kernel != s.last.Kernel || !slices.Equal(loaded, s.loaded) || len(s.last.Lacks) > 0 {
		if next.Lacks, err = s.lacking(dir, loaded); err != nil {
			return daemon.Next{}
		}
	}
	s.last, s.loaded = next, loaded
	return next
}

func (s *Successor) modules() string { return filepath.Join(s.Root, "lib/modules") }

// lacking lists the modules that are loaded, and that the kernel of dir does not have. What comes
// from no file of the running kernel's, nobody can bring the next one; and what is a module of the
// running kernel's build, and of the next one's no more, has gone into others or into the kernel
// itself, as crc32c_generic did.
func (s *Successor) lacking(dir string, loaded []string) ([]string, error) {
	lacking, err := kmod.Lacking(dir, loaded)
	if err != nil || len(lacking) == 0 {
		return nil, err
	}
	running := filepath.Join(s.modules(), s.Running)
	foreign, err := kmod.Lacking(running, lacking)
	if err != nil {
		return nil, err
	}
	were, err := kmod.OfBuild(running)
	if err != nil {
		return nil, err
	}
	are, err := kmod.OfBuild(dir)
	dropped := func(name string) bool { return were[name] && len(are) > 0 && !are[name] }
	return slices.DeleteFunc(lacking, func(name string) bool { return slices.Contains(foreign, name) || dropped(name) }), err
}

// NextRelease returns the release of the kernel that the next boot brings, as far as that can be
// told; else it is the running one.
func NextRelease(root, running string) string {
	release, _ := nextRelease(root, running)
	return release
}

// nextRelease returns the release of the kernel that the next boot brings. Where the boot
// loader's configuration does not tell, it is the newest one of the running kernel's variant, as
// grubby and kernel-install make it the default; doubt is why, if there is a configuration.
func nextRelease(root, running string) (release string, doubt error) {
	dir := filepath.Join(root, "lib/modules")
	releases, err := kmod.Releases(dir)
	if err != nil || !slices.ContainsFunc(releases, func(r string) bool { return r != running }) {
		return running, nil
	}
	release, err = (&bootLoader{root: root, releases: releases}).next()
	switch {
	case err == nil && release == "":
		return running, nil // no kernel of which anything is known
	case err == nil:
		return release, nil
	case errors.Is(err, errNoBootLoader):
		err = nil
	}
	bootable := slices.DeleteFunc(releases, func(r string) bool {
		images, _ := filepath.Glob(filepath.Join(dir, r, "vmlinuz*"))
		_, missing := os.Stat(filepath.Join(root, "boot/vmlinuz-"+r))
		return len(images) == 0 && missing != nil
	})
	return newest(bootable, running), err
}
