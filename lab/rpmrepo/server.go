// SPDX-License-Identifier: Apache-2.0

package rpmrepo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Fault is what a request can meet instead of an answer.
type Fault int

// The faults of a repository.
const (
	NoFault  Fault = iota
	NotFound       // 404 for everything
	Stall          // the request is read and never answered
	Refuse         // the connection is dropped before a byte of answer
	Slow           // the answer comes at slowRate, until the next Fail
)

// slowRate is in bytes per second: more than what dnf takes for a dead server.
const slowRate = 10 << 10

// Server serves a repository on loopback.
type Server struct {
	// URL is the repository's base URL.
	URL string

	files http.Handler
	http  *http.Server
	done  chan struct{} // closed by Close, frees the stalled

	mu     sync.Mutex
	suffix string
	fault  Fault
	healed chan struct{} // closed and replaced by Fail
	hits   map[string]int
	change chan struct{} // closed and replaced when hits change
}

// Serve serves dir until Close.
func Serve(dir string) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot serve %s: %w", dir, err)
	}
	s := &Server{
		URL:    "http://" + listener.Addr().String() + "/",
		files:  http.FileServer(http.Dir(dir)),
		done:   make(chan struct{}),
		healed: make(chan struct{}),
		hits:   make(map[string]int),
		change: make(chan struct{}),
	}
	s.http = &http.Server{Handler: s}
	go s.http.Serve(listener) //nolint:errcheck // always ErrServerClosed, from Close
	return s, nil
}

// Fail makes every request for a path with the given suffix ("" for all, ".rpm"
// for packages) meet the fault, from now on. NoFault heals.
func (s *Server) Fail(suffix string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suffix, s.fault = suffix, f
	close(s.healed)
	s.healed = make(chan struct{})
}

// WaitFor returns when a path with the given suffix has been asked for.
func (s *Server) WaitFor(ctx context.Context, suffix string) error {
	for {
		s.mu.Lock()
		change := s.change
		for path := range s.hits {
			if strings.HasSuffix(path, suffix) {
				s.mu.Unlock()
				return nil
			}
		}
		s.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("nobody asked for %s: %w", suffix, ctx.Err())
		}
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := NoFault
	if strings.HasSuffix(r.URL.Path, s.suffix) {
		fault = s.fault
	}
	healed := s.healed
	s.hits[r.URL.Path]++
	close(s.change)
	s.change = make(chan struct{})
	s.mu.Unlock()

	switch fault {
	case NoFault:
		s.files.ServeHTTP(w, r)
	case NotFound:
		http.NotFound(w, r)
	case Stall:
		select {
		case <-s.done:
		case <-r.Context().Done():
		}
	case Slow:
		s.files.ServeHTTP(slowly{w, r, healed}, r)
	case Refuse:
		panic(http.ErrAbortHandler)
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

// Close ends the server and every request that it holds.
func (s *Server) Close() error {
	close(s.done)
	if err := s.http.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot close the repository server: %w", err)
	}
	return nil
}
