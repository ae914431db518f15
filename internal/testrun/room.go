// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// askAgain is how often a run asks for a place: what it waits for takes a minute.
const askAgain = 200 * time.Millisecond

// room is for the guests that run at a time on this machine, whichever run of the tests
// they are of: a folder with a file for each place, which is locked while it is taken, so
// that a run that is killed leaves nothing behind.
type room struct {
	dir    string
	places int
}

// machine is the room of this machine: for one guest more than there are processors, as
// each waits for a third of its time. With more, what is given five minutes takes longer.
func machine() room {
	return room{filepath.Join(os.TempDir(), "driverd-guests-"+strconv.Itoa(os.Getuid())), runtime.NumCPU() + 1}
}

// take waits for n places, at most all there are, and returns what gives them back. It
// returns a little later than it could, so that another run asks next.
func (r room) take(ctx context.Context, n int) (leave func(), err error) {
	var taken []*os.File
	giveBack := func() {
		for _, place := range taken {
			_ = place.Close()
		}
	}
	defer func() {
		if err != nil {
			giveBack()
			err = fmt.Errorf("cannot wait for room for %d guests: %w", n, err)
		}
	}()
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, err
	}
	// Two that each hold a part of what they want would wait for ever: one at a time asks.
	door, err := r.await(ctx, "door")
	if err != nil {
		return nil, err
	}
	defer func() { _ = door.Close() }() // a second time does nothing
	for len(taken) < min(n, r.places) {
		place, err := r.await(ctx, r.names()...)
		if err != nil {
			return nil, err
		}
		taken = append(taken, place)
	}
	_ = door.Close()
	select {
	case <-time.After(2 * askAgain):
		return giveBack, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r room) names() (names []string) {
	for i := range r.places {
		names = append(names, strconv.Itoa(i))
	}
	return names
}

// await waits until one of these files can be locked.
func (r room) await(ctx context.Context, names ...string) (*os.File, error) {
	for {
		for _, name := range names {
			file, err := os.OpenFile(filepath.Join(r.dir, name), os.O_CREATE|os.O_RDWR, 0o600)
			if err != nil {
				return nil, err
			}
			if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
				return file, nil
			} else if _ = file.Close(); !errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(askAgain):
		}
	}
}
