// SPDX-License-Identifier: Apache-2.0

// Package stage keeps what the lab has built: folders in a cache, each made once
// of what its inputs say, and shared by every run that wants the same.
//
// A stage is there whole or not at all. Whoever uses one holds a lock on it until
// its process ends, so that no other run removes it; whoever builds one is alone.
package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Progress is where the lab says what it does and how long that took, one
// plain line each.
var Progress io.Writer = os.Stderr

// Say writes one line to Progress.
func Say(format string, args ...any) {
	_, _ = fmt.Fprintf(Progress, "lab: "+format+"\n", args...)
}

// room is what must be free before a stage is built, in bytes: more than the
// largest takes while it is built.
var room uint64 = 5 << 30

// Dir returns the cache: $DRIVERD_LAB if set, else driverd-lab in the user's cache
// folder. It makes the folder.
func Dir() (string, error) {
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

// held are the stages that this process uses, by their folders. Their locks end
// with it.
var held struct {
	sync.Mutex
	stages map[string]*use
}

// use is one stage in use. The mutex is for the time until it is there.
type use struct {
	sync.Mutex
	lock *lock
}

// Get returns the folder of the stage of that name and these inputs. If it is not
// there, or was cut short, build fills an empty folder that then becomes it.
// Processes that want the same stage at once wait for the first, and say so.
func Get(ctx context.Context, name string, inputs []string, build func(ctx context.Context, dir string) error) (string, error) {
	cache, err := Dir()
	if err != nil {
		return "", err
	}
	// A stage is made of other stages wherever they lie: a cache can be copied.
	sum := sha256.Sum256([]byte(strings.ReplaceAll(strings.Join(inputs, "\x00"), cache+"/", "")))
	final := filepath.Join(cache, name+"-"+hex.EncodeToString(sum[:8]))

	held.Lock()
	if held.stages == nil {
		held.stages = make(map[string]*use)
	}
	if held.stages[final] == nil {
		held.stages[final] = new(use)
	}
	u := held.stages[final]
	held.Unlock()

	u.Lock()
	defer u.Unlock()
	if u.lock == nil {
		u.lock, err = get(ctx, name, final, build)
	}
	return final, err
}

// get returns a shared lock on the stage in final, built if need be.
func get(ctx context.Context, name, final string, build func(ctx context.Context, dir string) error) (*lock, error) {
	for {
		l, err := take(ctx, final, shared)
		if err != nil {
			return nil, err
		}
		cut := whole(final)
		if cut == nil {
			return l, l.used()
		}
		l.release()
		if l, err = take(ctx, final, alone); err != nil {
			return nil, err
		}
		if whole(final) != nil { // and nobody has built it meanwhile
			if !errors.Is(cut, os.ErrNotExist) {
				Say("the %s is not what was built, and is built again: %v", name, cut)
			}
			err = fill(ctx, name, final, build)
		}
		l.release()
		if err != nil {
			return nil, err
		}
	}
}

// fill builds the stage in final, which is locked.
func fill(ctx context.Context, name, final string, build func(ctx context.Context, dir string) error) error {
	fail := func(err error) error { return fmt.Errorf("cannot build the %s: %w", name, err) }
	cache := filepath.Dir(final)
	if err := sweep(cache, name); err != nil {
		return fail(err)
	}
	if err := enough(cache); err != nil {
		return fail(err)
	}
	Say("building the %s in %s", name, final)
	start := time.Now()
	half := final + ".half" // of a run that was killed, if there is one
	if err := errors.Join(remove(final), remove(half)); err != nil {
		return fail(err)
	}
	if err := os.Mkdir(half, 0o755); err != nil {
		return fail(err)
	}
	err := build(ctx, half)
	if err == nil {
		err = note(half, final)
	}
	if err == nil {
		err = os.Rename(half, final)
	}
	if err != nil {
		return errors.Join(fail(err), remove(half))
	}
	Say("built the %s in %.0f s", name, time.Since(start).Seconds())
	return nil
}
