// SPDX-License-Identifier: Apache-2.0

package rpmrepo

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is what a request can meet instead of an answer.
type Fault int

// The faults of a repository. Whoever has met one that lasts is let go by the
// next Fail.
const (
	NoFault   Fault = iota
	NotFound        // 404 for everything
	Stall           // the request is read and not answered
	Refuse          // the connection is dropped before a byte of answer
	Slow            // the answer comes at slowRate
	Truncated       // the connection is dropped in the middle
	Garbled         // the answer is right in length and wrong in content
)

// slowRate is in bytes per second: more than what dnf takes for a dead server.
const slowRate = 10 << 10

// Repository answers for the repository in a folder, as well or as badly as it
// is told to.
type Repository struct {
	mu     sync.Mutex
	dir    string
	suffix string
	fault  Fault
	healed chan struct{} // closed and replaced by Fail
	asked  []string      // paths, since the last Fail or WaitFor
	change chan struct{} // closed and replaced when asked grows
}

// NewRepository answers for the repository in dir.
func NewRepository(dir string) *Repository {
	return &Repository{dir: dir, healed: make(chan struct{}), change: make(chan struct{})}
}

// Become answers for the repository in another folder from now on.
func (r *Repository) Become(dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dir = dir
}

// Fail makes every request for a path with the given suffix ("" for all, ".rpm"
// for packages) meet the fault, from now on. NoFault heals.
func (r *Repository) Fail(suffix string, f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suffix, r.fault, r.asked = suffix, f, nil
	close(r.healed)
	r.healed = make(chan struct{})
}

// Asked returns how often a path with the given suffix has been asked for since the last
// Fail, or the last WaitFor.
func (r *Repository) Asked(suffix string) (times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, path := range r.asked {
		if strings.HasSuffix(path, suffix) {
			times++
		}
	}
	return times
}

// WaitFor returns when a path with the given suffix has been asked for since the
// last Fail, or the last WaitFor.
func (r *Repository) WaitFor(ctx context.Context, suffix string) error {
	for {
		r.mu.Lock()
		i, change := slices.IndexFunc(r.asked, func(path string) bool { return strings.HasSuffix(path, suffix) }), r.change
		r.asked = r.asked[i+1:]
		r.mu.Unlock()
		if i >= 0 {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("nobody asked for %s: %w", suffix, context.Cause(ctx))
		}
	}
}

// ServeHTTP implements http.Handler.
func (r *Repository) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	fault, dir, healed := NoFault, r.dir, r.healed
	if strings.HasSuffix(request.URL.Path, r.suffix) {
		fault = r.fault
	}
	r.asked = append(r.asked, request.URL.Path)
	close(r.change)
	r.change = make(chan struct{})
	r.mu.Unlock()

	files := http.FileServer(http.Dir(dir))
	switch fault {
	case NoFault:
		files.ServeHTTP(w, request)
	case NotFound:
		http.NotFound(w, request)
	case Slow:
		files.ServeHTTP(slowly{w, request, healed}, request)
	case Stall:
		select {
		case <-healed:
		case <-request.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case Refuse:
		panic(http.ErrAbortHandler)
	case Truncated, Garbled:
		spoilt(w, filepath.Join(dir, filepath.FromSlash(filepath.Clean("/"+request.URL.Path))), fault)
	}
}

// slowly is the response to r at slowRate, until it is healed.
type slowly struct {
	http.ResponseWriter
	r      *http.Request
	healed <-chan struct{}
}

func (w slowly) Write(data []byte) (n int, err error) {
	const pause = 100 * time.Millisecond
	for len(data) > 0 && err == nil {
		var wrote int
		wrote, err = w.ResponseWriter.Write(data[:min(len(data), slowRate/int(time.Second/pause))])
		n, data = n+wrote, data[wrote:]
		w.ResponseWriter.(http.Flusher).Flush()
		select {
		case <-time.After(pause):
		case <-w.healed:
		case <-w.r.Context().Done():
			err = w.r.Context().Err()
		}
	}
	return n, err
}

// spoilt answers with a file that is not whole, or not what it should be.
func spoilt(w http.ResponseWriter, file string, f Fault) {
	text, err := os.ReadFile(file)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	half := len(text) / 2
	if f == Truncated {
		_, _ = w.Write(text[:half])
		panic(http.ErrAbortHandler)
	}
	for i := half; i < min(half+64, len(text)); i++ {
		text[i] ^= 0xff
	}
	_, _ = w.Write(text)
}
