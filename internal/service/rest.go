// SPDX-License-Identifier: Apache-2.0

package service

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	notify "github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"driverd/daemon"
	"driverd/daemon/bus"
	"driverd/daemon/state"
)

// restTime is for how long nothing must have been to do, and nobody have asked, before the service
// ends.
const restTime = time.Minute

// ErrAgain is what Run ends with if something came while it was about to rest: the service is to be
// started again at once.
var ErrAgain = errors.New("something has come while the service was about to rest")

// rest knows for how long the engine has had nothing to do.
type rest struct {
	file  state.Rest
	news  chan struct{} // has a value when since is another
	mu    sync.Mutex
	since time.Time // zero if there is something, or the service is not to end
}

func newRest(file state.Rest) *rest { return &rest{file: file, news: make(chan struct{}, 1)} }

// mayBeKept says whether the service could come back: the folder of the file is systemd's to make,
// and a service that was started by hand has none.
func (r *rest) mayBeKept() bool { return unix.Access(filepath.Dir(r.file.Path), unix.W_OK) == nil }

// note takes in what the engine has published.
func (r *rest) note(v daemon.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	restful := v.Restful && r.mayBeKept()
	if restful != r.since.IsZero() {
		return
	}
	r.since = time.Time{}
	if restful {
		r.since = time.Now()
	}
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// left is how long it takes until the service may end, if nothing comes; false if it may not.
func (r *rest) left(server *bus.Server) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		return 0, false
	}
	return restTime - min(time.Since(r.since), server.Idle()), true
}

// due has a value when the service may end; it is nil if that cannot be told yet.
func (r *rest) due(server *bus.Server) <-chan time.Time {
	if left, ok := r.left(server); ok {
		return time.After(left)
	}
	return nil
}

// goToRest ends the work of a service that has nothing to do. Its error is ErrAgain if something has
// come meanwhile.
func goToRest(ctx context.Context, server *bus.Server, engine *daemon.Engine, log zerolog.Logger) error {
	// First systemd has to know: what starts the service from now on waits for its end.
	tell(log, notify.SdNotifyStopping+"\nSTATUS=At rest: nothing is to do. It starts again when a device appears or somebody asks.")
	if err := barrier(); err != nil {
		return err
	}
	// Then udev and the command line: while the file is there, they start the service.
	if err := engine.Remember(ctx); err != nil {
		return err
	}
	if err := server.Retire(); err != nil {
		return err
	}
	// And last, what has come until then.
	if restful, err := engine.Rest(ctx); err != nil || !restful {
		return cmp.Or(err, ErrAgain)
	}
	log.Info().Str("event", "at-rest").Msg("nothing is to do: the service ends, and starts again when a device appears or somebody asks")
	return nil
}
