// SPDX-License-Identifier: Apache-2.0

// Package lab is the real guest: a Debian testing root with DNF 5, its kernel's
// modules repackaged as signed RPMs, booted in QEMU with PCI devices that come
// and go through QMP. It is built once, kept in a cache folder, and leaves the
// machine as it found it, packages apart.
//
// The stages, each built from the one before: host packages (Prepare), guest
// root (Root), package repository (Repo), disk image (BuildImage), guest (Boot).
package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Progress is where the lab says what it does and how long that took, one
// plain line each.
var Progress io.Writer = os.Stderr

func say(format string, args ...any) {
	_, _ = fmt.Fprintf(Progress, "lab: "+format+"\n", args...)
}

// CacheDir returns the folder that keeps what was built: $DRIVERD_LAB if set,
// else driverd-lab in the user's cache folder. It makes the folder.
func CacheDir() (string, error) {
	dir := os.Getenv("DRIVERD_LAB")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("cannot find a cache folder, set DRIVERD_LAB: %w", err)
		}
		dir = filepath.Join(base, "driverd-lab")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot find the lab's cache folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make the lab's cache folder: %w", err)
	}
	return dir, nil
}

// stage returns the folder NAME-KEY of the cache, KEY being a hash of inputs.
// If it is not there, build fills an empty folder that then gets that name, so
// that a stage is there whole or not at all; older ones of the same name go.
// Processes that want the same stage at once wait for the first.
func stage(ctx context.Context, name string, inputs []string, build func(ctx context.Context, dir string) error) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	// A stage is made of other stages wherever they lie: a cache can be copied.
	sum := sha256.Sum256([]byte(strings.ReplaceAll(strings.Join(inputs, "\x00"), cache+"/", "")))
	final := filepath.Join(cache, name+"-"+hex.EncodeToString(sum[:8]))
	if isDir(final) {
		return final, nil
	}

	lock, err := os.OpenFile(filepath.Join(cache, name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("cannot lock stage %s: %w", name, err)
	}
	defer func() { _ = lock.Close() }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("cannot lock stage %s: %w", name, err)
	}
	if isDir(final) {
		return final, nil
	}

	say("building the %s in %s", name, final)
	start := time.Now()
	// The holder of the lock is alone: whatever else has the stage's name is
	// either out of date or was left half-built.
	old, err := filepath.Glob(filepath.Join(cache, name+"-*"))
	if err != nil {
		return "", fmt.Errorf("cannot list stage %s: %w", name, err)
	}
	for _, dir := range old {
		if err := removeTree(dir); err != nil {
			return "", err
		}
	}
	half := final + ".half"
	if err := os.Mkdir(half, 0o755); err != nil {
		return "", fmt.Errorf("cannot build the %s: %w", name, err)
	}
	if err := build(ctx, half); err != nil {
		return "", errors.Join(fmt.Errorf("cannot build the %s: %w", name, err), removeTree(half))
	}
	if err := os.Rename(half, final); err != nil {
		return "", fmt.Errorf("cannot build the %s: %w", name, err)
	}
	say("built the %s in %.0f s", name, time.Since(start).Seconds())
	return final, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// removeTree removes a folder but nothing that is mounted inside it, which
// os.RemoveAll would empty.
func removeTree(dir string) error {
	if out, err := exec.Command("rm", "-rf", "--one-file-system", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot remove %s: %w: %s", dir, err, out)
	}
	return nil
}

// hashFiles returns a hash of the contents of files and of the files below
// folders; keep chooses among the latter by their path.
func hashFiles(keep func(path string) bool, paths ...string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() || (name != path && !keep(name)) {
				return nil
			}
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			_, _ = fmt.Fprintf(h, "%s\x00", strings.TrimPrefix(name, path))
			_, err = io.Copy(h, f)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("cannot hash %s: %w", path, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
