// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"runtime/debug"
	"time"

	"github.com/godbus/dbus/v5"
)

// call is one method call as it came in.
type call struct {
	sender    string
	serial    uint32
	flags     dbus.Flags
	path      dbus.ObjectPath
	iface     string
	name      string
	signature string // of the arguments
	body      []any
	problem   *dbus.Error // why it cannot be answered, nil if it can
}

func newCall(msg *dbus.Message) call {
	c := call{serial: msg.Serial(), flags: msg.Flags, body: msg.Body}
	c.sender, _ = msg.Headers[dbus.FieldSender].Value().(string)
	c.path, _ = msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	c.iface, _ = msg.Headers[dbus.FieldInterface].Value().(string)
	c.name, _ = msg.Headers[dbus.FieldMember].Value().(string)
	signature, _ := msg.Headers[dbus.FieldSignature].Value().(dbus.Signature)
	c.signature = signature.String()
	return c
}

// method answers calls: the D-Bus signature of its arguments, and what it does.
type method struct {
	in     string
	answer func(*Server, call) ([]any, *dbus.Error)
}

// called has a call answered. It is the goroutine that reads from the bus which is here,
// so it waits for nothing: a call too many is refused, and one that is too many for that
// as well, as nobody reads what is sent, is passed over.
func (s *Server) called(c call) {
	if !s.calls.TryRLock() {
		return // the service retires
	}
	switch {
	case s.callers.begin(c.sender):
		go func() {
			defer s.calls.RUnlock()
			defer s.callers.end(c.sender)
			values, refusal := s.answer(c)
			r := replyOf(values)
			if refusal == nil && !s.callers.replies(c.sender, len(r.body)) {
				refusal = errBusy
			}
			s.send(c, r, refusal)
			s.lastCall.Store(time.Now().UnixNano())
		}()
	case s.callers.beginRefusal(c.sender):
		c.body = nil
		go func() {
			defer s.calls.RUnlock()
			defer s.callers.endRefusal(c.sender)
			s.send(c, reply{}, errBusy)
		}()
	default:
		s.calls.RUnlock()
	}
}

// answer returns what a call is answered with. A mistake in one method must not end the
// service.
func (s *Server) answer(c call) (values []any, refusal *dbus.Error) {
	s.lastCall.Store(time.Now().UnixNano())
	defer func() {
		if p := recover(); p != nil {
			s.log.Error().Str("event", "method-failed").Msgf("%s has failed: %v\n%s", c.name, p, debug.Stack())
			refusal = refuse(errorFailed, "cannot answer %s: internal error", c.name)
		}
	}()
	if c.problem != nil {
		return nil, c.problem
	}
	t := s.current()
	known, ok := methods[c.iface]
	if ok && c.iface != peerInterface {
		if !t.has(c.path) {
			return nil, refuse(errorUnknownObject, "there is no %s", c.path)
		}
		ok = t.serves(c.path, c.iface)
	}
	// The specification allows a call without an interface; we ask for one, so that no
	// method is ever reached under another's name.
	if !ok {
		return nil, refuse(errorUnknownInterface, "%s has no interface %q", c.path, c.iface)
	}
	m, ok := known[c.name]
	switch {
	case !ok:
		return nil, refuse(errorUnknownMethod, "%s has no method %q", c.iface, c.name)
	case c.signature != m.in:
		return nil, invalidArgs("%s takes arguments of the signature %q, not %q", c.name, m.in, c.signature)
	}
	if _, ours := ours()[c.iface]; ours {
		if refusal := s.authorize(c); refusal != nil {
			return nil, refusal
		}
	}
	return m.answer(s, c)
}

// send answers a call, unless nobody waits for that.
func (s *Server) send(c call, r reply, refusal *dbus.Error) {
	if c.flags&dbus.FlagNoReplyExpected != 0 {
		return
	}
	if refusal != nil {
		r = encode(refusal.Body)
		r.name = refusal.Name
	}
	if err := s.wire.reply(c, r); err != nil {
		s.log.Debug().Err(err).Msgf("cannot answer %s", c.name)
	}
}
