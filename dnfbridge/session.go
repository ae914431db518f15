// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"driverd/internal/redact"
	"driverd/reason"
)

const (
	busName     = "org.rpm.dnf.v0"
	managerPath = dbus.ObjectPath("/org/rpm/dnf/v0")

	openSession   = busName + ".SessionManager.open_session"
	cleanCache    = busName + ".Base.clean"
	listRepos     = busName + ".rpm.Repo.list"
	listPackages  = busName + ".rpm.Rpm.list"
	markInstall   = busName + ".rpm.Rpm.install"
	markReinstall = busName + ".rpm.Rpm.reinstall"
	confirmKey    = busName + ".rpm.Repo.confirm_key"
	resolve       = busName + ".Goal.resolve"
	problems      = busName + ".Goal.get_transaction_problems"
	problemsText  = busName + ".Goal.get_transaction_problems_string"
	doTransaction = busName + ".Goal.do_transaction"
)

// startReplySuccess is the bus's word for a server that it has just started; it
// has another for one that somebody else was faster to have started.
const startReplySuccess = 1

// session is a session of dnf5daemon-server on a connection of its own.
// Closing the connection ends both: the server drops the sessions of a client
// that leaves the bus. Its close_session is avoided because it blocks while the
// session is busy.
//
// A session belongs to one goroutine, which handles the signals while it waits
// in call. So no signal is handled after the caller has its answer.
type session struct {
	conn    *dbus.Conn
	owner   string // the server's unique name: the server that made the session
	path    dbus.ObjectPath
	signals *signalQueue
	silence time.Duration
	track   *tracker
}

// open opens a session. The tracker gets its signals in order. With fresh, the
// metadata is renewed before the session uses it.
func (d *DNF5) open(ctx context.Context, track *tracker, options map[string]any, fresh bool) (*session, error) {
	signals := &signalQueue{ready: make(chan struct{}, 1)}
	conn, err := d.dial(ctx, dbus.WithSignalHandler(signals))
	if ctx.Err() != nil {
		if err == nil {
			_ = conn.Close()
		}
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, reason.With(reason.BackendMissing, fmt.Errorf("cannot connect to the bus of dnf5daemon: %w", err))
	}
	s := &session{conn: conn, path: managerPath, signals: signals, silence: d.silence, track: track}
	if err := d.start(ctx, s, options); err != nil {
		s.close()
		return nil, fmt.Errorf("cannot open a session of dnf5daemon: %w", explain(err))
	}
	if !fresh {
		return s, nil
	}
	if err := s.expire(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (d *DNF5) start(ctx context.Context, s *session, options map[string]any) error {
	d.opening.RLock()
	defer d.opening.RUnlock()
	if err := d.findOwner(ctx, s); err != nil {
		return err
	}
	// The server's messages are read by errors.go, and end in driverd's own.
	options = maps.Clone(options) // others may open a session with the same ones
	options["locale"] = "C.UTF-8"
	s.signals.listenTo(s.owner)
	return s.call(ctx, openSession, []any{variants(options)}, &s.path)
}

// findOwner finds the server, and lets the bus start it if it does not run.
func (d *DNF5) findOwner(ctx context.Context, s *session) error {
	bus := s.conn.BusObject()
	owner := func() error {
		return s.wait(ctx, bus, "org.freedesktop.DBus.GetNameOwner", []any{busName}, &s.owner)
	}
	if owner() == nil {
		return nil
	}
	var started uint32
	if err := s.wait(ctx, bus, "org.freedesktop.DBus.StartServiceByName", []any{busName, uint32(0)}, &started); err != nil {
		return err
	}
	if err := owner(); err != nil {
		return err
	}
	if started == startReplySuccess {
		d.started.Store(&s.owner)
	}
	return nil
}

func (s *session) close() { _ = s.conn.Close() }

// call calls a method of the session and stores its results.
func (s *session) call(ctx context.Context, method string, args []any, results ...any) error {
	return s.wait(ctx, s.conn.Object(s.owner, s.path), method, args, results...)
}

// wait calls a method and handles signals until its reply is there, the server
// has been silent for too long, or ctx ends, whose cause it then returns. A
// server that dies is no silence: the bus answers in its place.
func (s *session) wait(ctx context.Context, object dbus.BusObject, method string, args []any, results ...any) error {
	call := object.Go(method, 0, make(chan *dbus.Call, 1), args...)
	silence := time.NewTimer(s.silence)
	defer silence.Stop()
	for {
		select {
		case <-call.Done:
			s.handleSignals()
			return s.answer(ctx, call, results)
		case <-s.signals.ready:
			if s.handleSignals() {
				silence.Reset(s.silence)
			}
		case <-silence.C:
			return &silentError{s.silence}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// answer stores the results of an answered call.
func (s *session) answer(ctx context.Context, call *dbus.Call, results []any) error {
	var said dbus.Error
	switch {
	case call.Err == nil:
		if err := call.Store(results...); err != nil {
			return reason.With(reason.TransactionFailed, fmt.Errorf("cannot read the reply to %s: %w", call.Method, err))
		}
		return nil
	case errors.As(call.Err, &said):
		return withoutCredentials(said)
	case ctx.Err() != nil: // the connection may end with ctx
		return context.Cause(ctx)
	}
	return reason.With(reason.BackendMissing, fmt.Errorf("the connection to the bus was lost: %w", call.Err))
}

// withoutCredentials returns an error of the server without the credentials that its
// texts may hold: libdnf5 quotes URLs and settings as they are configured.
func withoutCredentials(err dbus.Error) dbus.Error {
	body := slices.Clone(err.Body)
	for i, value := range body {
		if text, ok := value.(string); ok {
			body[i] = redact.Text(text)
		}
	}
	return dbus.Error{Name: err.Name, Body: body}
}

// handleSignals handles what the server itself sent about this session, and says
// whether it is alive.
func (s *session) handleSignals() (alive bool) {
	for _, signal := range s.signals.take() {
		if len(signal.Body) == 0 || signal.Body[0] != s.path {
			continue
		}
		if signal.Name == signalKeyRequest && len(signal.Body) > 1 {
			// Whom to trust is the administrator's business. The server waits
			// for this answer in the middle of the call that is pending.
			s.conn.Object(s.owner, s.path).Go(confirmKey, dbus.FlagNoReplyExpected, nil, signal.Body[1], false)
		}
		if s.track.handle(signal) {
			alive = true
		}
	}
	return alive
}

// list lists packages with the given attributes.
func (s *session) list(ctx context.Context, options map[string]any) ([]map[string]dbus.Variant, error) {
	var packages []map[string]dbus.Variant
	err := s.call(ctx, listPackages, []any{variants(options)}, &packages)
	return packages, err
}

// expire has each repository asked whether its metadata has changed, when it is used
// next: dnf5daemon keeps it for two days. That needs no privilege. It does nothing if
// there is no metadata yet.
func (s *session) expire(ctx context.Context) error {
	var done bool
	var problem string
	if err := s.call(ctx, cleanCache, []any{"expire-cache"}, &done, &problem); err != nil {
		return fmt.Errorf("cannot have the metadata of the repositories renewed: %w", explain(err))
	}
	return nil
}

// variants makes an a{sv}. The server refuses a value of another type than the
// one it expects, an i for a u for example, so callers choose Go types with care.
func variants(options map[string]any) map[string]dbus.Variant {
	m := make(map[string]dbus.Variant, len(options))
	for key, value := range options {
		m[key] = dbus.MakeVariant(value)
	}
	return m
}

// signalQueue keeps the signals of one sender in the order they came, without a bound:
// of others, who may send as many as they like, it keeps none. It is used
// instead of godbus's sequential handler because that one hands signals on
// through a goroutine: here all signals that came before a reply are in the
// queue when the reply is seen, so a failed download is known when the list is.
type signalQueue struct {
	mu    sync.Mutex
	from  string // unique name of the sender; empty as long as nothing is expected
	queue []*dbus.Signal
	ready chan struct{} // holds one if the queue may hold something
}

// DeliverSignal implements dbus.SignalHandler; godbus calls it from its one
// reading goroutine.
func (q *signalQueue) DeliverSignal(_, _ string, signal *dbus.Signal) {
	q.mu.Lock()
	expected := signal.Sender == q.from
	if expected {
		q.queue = append(q.queue, signal)
	}
	q.mu.Unlock()
	if !expected {
		return
	}
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// listenTo has the queue keep the signals of a sender from now on.
func (q *signalQueue) listenTo(sender string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.from = sender
}

func (q *signalQueue) take() []*dbus.Signal {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.queue
	q.queue = nil
	return taken
}
