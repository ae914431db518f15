// SPDX-License-Identifier: Apache-2.0

package rpmrepo

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

// Server serves a repository on loopback.
type Server struct {
	*Repository
	URL string // the repository's base URL

	http *http.Server
}

// Serve serves dir until Close.
func Serve(dir string) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot serve %s: %w", dir, err)
	}
	r := NewRepository(dir)
	s := &Server{Repository: r, URL: "http://" + listener.Addr().String() + "/", http: &http.Server{Handler: r}}
	go s.http.Serve(listener) //nolint:errcheck // always ErrServerClosed, from Close
	return s, nil
}

// Close ends the server and every request that it holds.
func (s *Server) Close() error {
	s.Fail("", NoFault)
	if err := s.http.Close(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot close the repository server: %w", err)
	}
	return nil
}
