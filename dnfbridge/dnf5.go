// SPDX-License-Identifier: Apache-2.0

// Package dnfbridge talks to the package manager: which packages belong to a
// kernel build, or have a name or a file, and install these and nothing else. It
// knows no package by name and no device; the backend is dnf5daemon-server (org.rpm.dnf.v0).
package dnfbridge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/rs/zerolog"
)

// A Dialer connects to the bus that the backend is on. It must hand opts to
// godbus, as dbus.ConnectSystemBus takes them, and return a connection of its
// own for each call: every session closes the one it was given.
type Dialer func(ctx context.Context, opts ...dbus.ConnOption) (*dbus.Conn, error)

// SystemBus is the Dialer of the system bus.
func SystemBus(ctx context.Context, opts ...dbus.ConnOption) (*dbus.Conn, error) {
	return dbus.ConnectSystemBus(append(opts, dbus.WithContext(ctx))...)
}

// DNF5 is the backend dnf5daemon-server. It holds no connection and no session
// between calls, and is safe for concurrent use. It must not be copied.
type DNF5 struct {
	dial Dialer
	log  zerolog.Logger

	// silence is how long the server may say nothing, neither signal nor reply,
	// before a call is given up. There is no other limit, because a kernel package's
	// scriptlets (dracut) are long and silent.
	silence time.Duration
	// attempts is how often a transaction is tried that finds the package database
	// locked, and backoff the pause before the second try. The pauses double, up to
	// half a minute.
	attempts int
	backoff  time.Duration

	// verify checks the signatures of the files of packages, before they are
	// installed, which are below root.
	verify func(ctx context.Context, files []string) error
	root   string

	// opening is read-locked while a session is opened, and locked while the server
	// is stopped. started is the unique name of the server that was started for
	// this DNF5, nil if it was there before.
	opening sync.RWMutex
	started atomic.Pointer[string]
}

// NewDNF5 returns the backend on the bus that dial connects to. Nothing is
// connected yet.
func NewDNF5(dial Dialer, log zerolog.Logger) *DNF5 {
	return &DNF5{
		dial: dial, log: log, silence: 10 * time.Minute, attempts: 8, backoff: time.Second, verify: verifyWithRPM, root: "/",
	}
}

// Name returns "dnf5daemon".
func (d *DNF5) Name() string { return "dnf5daemon" }
