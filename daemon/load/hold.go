// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"driverd/daemon/outside"
	"driverd/hwdetect"
)

const (
	// holdDir is where the service holds load steps, each by a file that is called as the
	// slot. The step goes on when the file is gone, and ends when there is a word in it.
	holdDir = "/run/driverd/hold"
	// holdTime is for how long the service holds a step: a transaction unpacks its packages
	// in less. A step that is held for longer, as the service is gone, ends at maxHold, which
	// is less than systemd gives it.
	holdTime, maxHold = 3 * time.Minute, 4 * time.Minute
	// holdPoll is how often a step looks whether it is, if it hears nothing.
	holdPoll = time.Second
)

// prepared is a load step that was started before it is needed.
type prepared struct {
	held  bool          // it waits
	ended chan struct{} // closed when it has ended
	err   error         // of the step, then
}

// Prepare has the load step of a device started, and held until Load lets it go: systemd
// takes as long to start it as its package takes to be unpacked. At the end of ctx, or
// after holdTime, a step that is still held ends, and has done nothing.
func (u *Units) Prepare(ctx context.Context, slot hwdetect.Slot) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.prepared[slot] != nil || os.WriteFile(u.hold(slot), nil, 0o644) != nil {
		return // and Load takes a little longer
	}
	p := &prepared{held: true, ended: make(chan struct{})}
	u.prepared[slot] = p
	needed, cancel := context.WithTimeout(ctx, holdTime)
	context.AfterFunc(needed, func() { u.end(p, slot) })
	go func() {
		p.err = u.run(context.WithoutCancel(ctx), slot)
		cancel()
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.prepared, slot)
		_ = os.Remove(u.hold(slot)) // if the step was told to end, or has not begun
		close(p.ended)
	}()
}

func (u *Units) hold(slot hwdetect.Slot) string { return filepath.Join(u.holds, slot.String()) }

// release lets the load step of a device go if it is held, also by a service before this
// one, and returns it, if it was prepared and has not ended.
func (u *Units) release(slot hwdetect.Slot) (p *prepared, released bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p = u.prepared[slot]
	if p == nil || p.held {
		released = os.Remove(u.hold(slot)) == nil
	}
	if p != nil {
		p.held = false
	}
	return p, released
}

// end has a load step end that is held.
func (u *Units) end(p *prepared, slot hwdetect.Slot) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p.held {
		p.held = false
		_ = os.WriteFile(u.hold(slot), []byte("end\n"), 0o644) // else it ends by itself
	}
}

// AwaitRelease waits in a load step until it is not held any more; it is false if the step is
// not needed. Whoever can write to the folder can do that and nothing else.
func AwaitRelease(ctx context.Context, slot hwdetect.Slot) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return awaitRelease(ctx, filepath.Join(holdDir, slot.String()), watch(ctx, holdDir), holdPoll)
}

func awaitRelease(ctx context.Context, hold string, news <-chan struct{}, every time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, maxHold)
	defer cancel()
	poll := time.NewTicker(every)
	defer poll.Stop()
	for {
		info, err := os.Lstat(hold)
		if err != nil || info.Size() > 0 {
			return err != nil
		}
		select {
		case <-news:
		case <-poll.C:
		case <-ctx.Done():
			return false
		}
	}
}

// watch tells of news in a folder until ctx ends, unless the guest has no inotify instance left
// (fs.inotify.max_user_instances).
func watch(ctx context.Context, folder string) <-chan struct{} {
	news := make(chan struct{}, 1)
	go func() {
		_ = outside.WatchFolders(ctx, []string{folder}, func() {
			select {
			case news <- struct{}{}:
			default:
			}
		})
	}()
	return news
}
