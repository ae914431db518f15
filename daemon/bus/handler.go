// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/godbus/dbus/v5"
)

// The types below are godbus's way to say who answers a call. Objects come and
// go with the hardware, and godbus's own table of exported objects may not
// change while clients introspect (godbus issue 340: "concurrent map iteration
// and map write"). So nothing is ever exported: the handler looks each call up
// in the tree of the moment.

// call is one method call as it came in.
type call struct {
	path   dbus.ObjectPath
	sender string
	body   []any
	flags  dbus.Flags
}

// method answers calls: its signature, and what it does.
type method struct {
	server *Server
	iface  string
	name   string
	in     string // D-Bus signature of the arguments
	answer func(*Server, call) ([]any, *dbus.Error)
}

// LookupObject implements dbus.Handler. Every path is an object to godbus, as
// its own answer for one that is not has a name that no specification knows.
func (s *Server) LookupObject(path dbus.ObjectPath) (dbus.ServerObject, bool) {
	return node{server: s, path: path}, true
}

// node implements dbus.ServerObject for one path of the tree.
type node struct {
	server *Server
	path   dbus.ObjectPath
}

// LookupInterface implements dbus.ServerObject. The specification allows a
// call without an interface; we ask for one, so that no method is ever reached
// under another's name.
func (n node) LookupInterface(name string) (dbus.Interface, bool) {
	_, known := methods[name]
	t := n.server.current()
	if known && t.has(n.path) {
		known = t.serves(n.path, name)
	}
	return iface{n.server, name}, known
}

type iface struct {
	server *Server
	name   string
}

// LookupMethod implements dbus.Interface.
func (i iface) LookupMethod(name string) (dbus.Method, bool) {
	m, ok := methods[i.name][name]
	m.server, m.iface, m.name = i.server, i.name, name
	return m, ok
}

// DecodeArguments implements dbus.ArgumentDecoder: the arguments are checked
// against the signature here, and stay as they came.
func (m method) DecodeArguments(_ *dbus.Conn, sender string, msg *dbus.Message, body []any) ([]any, error) {
	signature, _ := msg.Headers[dbus.FieldSignature].Value().(dbus.Signature)
	if signature.String() != m.in {
		return nil, invalidArgs("%s takes arguments of the signature %q, not %q", m.name, m.in, signature.String())
	}
	path, _ := msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	return []any{call{path: path, sender: sender, body: body, flags: msg.Flags}}, nil
}

// Call implements dbus.Method. godbus calls it in a goroutine of its own and
// does not recover: a mistake in one method must not end the service.
func (m method) Call(args ...any) (out []any, err error) {
	m.server.calls.RLock()
	defer m.server.calls.RUnlock()
	m.server.called.Store(time.Now().UnixNano())
	defer func() {
		if p := recover(); p != nil {
			m.server.log.Error().Str("event", "method-failed").Msgf("%s has failed: %v\n%s", m.name, p, debug.Stack())
			err = &dbus.Error{Name: errorFailed, Body: []any{fmt.Sprintf("cannot answer %s: internal error", m.name)}}
		}
	}()
	c := args[0].(call)
	if !m.server.current().has(c.path) {
		return nil, refuse(errorUnknownObject, "there is no %s", c.path)
	}
	if _, ours := ours()[m.iface]; ours {
		if refusal := m.server.authorize(c, m); refusal != nil {
			return nil, refusal
		}
	}
	out, refusal := m.answer(m.server, c)
	if refusal != nil {
		return nil, refusal
	}
	return out, nil
}

// NumArguments and the rest of dbus.Method describe arguments for godbus's own
// decoder, which is not used.
func (m method) NumArguments() int     { return 1 }
func (m method) NumReturns() int       { return 0 }
func (m method) ArgumentValue(int) any { return nil }
func (m method) ReturnValue(int) any   { return nil }
