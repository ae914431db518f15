// SPDX-License-Identifier: Apache-2.0

// Package bus shows the engine on D-Bus as org.fedoraproject.Driverd1.
package bus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/rs/zerolog"

	"driverd/api"
	"driverd/daemon"
)

// Engine is what the methods call.
type Engine interface {
	Rescan(ctx context.Context) error
	Explain(ctx context.Context, what string) (daemon.Explanation, error)
	Plan(ctx context.Context, selectors []string) (daemon.Plan, error)
	Install(ctx context.Context, q daemon.Request) (job uint64, err error)
	Cancel(ctx context.Context, job uint64, origin string) error
	SetMode(ctx context.Context, mode daemon.Mode, origin string) error
	History(ctx context.Context) ([]daemon.Entry, error)
}

// Server answers calls from the latest view that was published.
type Server struct {
	ctx    context.Context
	wire   *wire
	conn   *dbus.Conn
	engine Engine
	log    zerolog.Logger
	shown  atomic.Pointer[shown]
	past   pastReply

	callers  *callers
	lastCall atomic.Int64 // when somebody last called, or was answered, in Unix nanoseconds
	calls    sync.RWMutex // held for reading by each call
}

// Listen connects to the bus at address and waits there for the first view.
// The name is taken by Serve, so that nobody finds a service without objects.
func Listen(ctx context.Context, address string, engine Engine, log zerolog.Logger) (*Server, error) {
	s := &Server{ctx: ctx, engine: engine, log: log, callers: newCallers()}
	s.shown.Store(&shown{})
	s.lastCall.Store(time.Now().UnixNano())
	var err error
	if s.wire, err = dial(ctx, address, s.called); err == nil {
		err = s.greet()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the bus: %w", err)
	}
	return s, nil
}

// greet makes the connection one of the bus. Calls may come before it returns.
func (s *Server) greet() (err error) {
	// godbus waits for what is being written before it closes a connection, and the bus
	// may read nothing: then this ends it.
	context.AfterFunc(s.ctx, func() { _ = s.wire.Close() })
	if s.conn, err = dbus.NewConn(s.wire, dbus.WithContext(s.ctx)); err == nil {
		err = s.conn.Auth(nil)
	}
	if err == nil {
		err = s.conn.Hello()
	}
	if err != nil {
		_ = s.wire.Close()
	}
	return err
}

// Serve takes the bus name.
func (s *Server) Serve() error {
	reply, err := s.conn.RequestName(api.BusName, dbus.NameFlagDoNotQueue)
	if err != nil {
		return fmt.Errorf("cannot take the bus name %s: %w", api.BusName, err)
	}
	if reply != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("cannot take the bus name %s: another process has it", api.BusName)
	}
	return nil
}

// Idle is for how long nobody has called, or waited for an answer.
func (s *Server) Idle() time.Duration {
	if s.callers.waiting() {
		return 0
	}
	return time.Since(time.Unix(0, s.lastCall.Load()))
}

// Retire gives the bus name back, so that who calls from now on has the service
// started anew, and returns when those who have called are answered, or read nothing.
func (s *Server) Retire() error {
	if _, err := s.conn.ReleaseName(api.BusName); err != nil {
		return fmt.Errorf("cannot give back the bus name %s: %w", api.BusName, err)
	}
	answered := make(chan struct{})
	go func() {
		s.calls.Lock() // for good
		close(answered)
	}()
	select {
	case <-answered:
	case <-time.After(AnswerTime):
	}
	return nil
}

// AnswerTime is how long a service that retires waits for its last answers: nobody may
// read them.
const AnswerTime = 30 * time.Second

// Closed is closed when the connection is: the service cannot go on then.
func (s *Server) Closed() <-chan struct{} { return s.conn.Context().Done() }

// Close leaves the bus.
func (s *Server) Close() error {
	err := s.wire.Close() // first: see greet
	_ = s.conn.Close()    // closes the same
	return err
}

func (s *Server) current() tree { return s.shown.Load().tree }

// Publish shows v, and announces what is new in it. It is called by one
// goroutine at a time.
func (s *Server) Publish(v daemon.View) {
	last := s.shown.Load()
	next := last.next(v)
	s.shown.Store(next)
	if last.tree == nil {
		return // the name is taken after the first view: nobody has looked
	}
	for path, object := range last.tree {
		if _, ok := next.tree[path]; !ok {
			var names []string
			for name := range object {
				names = append(names, name)
			}
			s.emit(rootPath, objectManager+".InterfacesRemoved", path, names)
		}
	}
	for _, path := range next.renewed {
		object := next.tree[path]
		before, ok := last.tree[path]
		if !ok && path != rootPath {
			s.emit(rootPath, objectManager+".InterfacesAdded", path, object)
			continue
		}
		for name, properties := range object {
			if changed := before[name].changed(properties); changed != nil && ok {
				s.emit(path, propertiesInterface+".PropertiesChanged", name, changed, []string{})
			}
		}
	}
}

func (s *Server) emit(path dbus.ObjectPath, signal string, values ...any) {
	if err := s.conn.Emit(path, signal, values...); err != nil {
		s.log.Debug().Err(err).Msgf("cannot emit %s", signal)
	}
}
