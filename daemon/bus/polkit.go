// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"fmt"

	"github.com/godbus/dbus/v5"
)

// authorize asks polkit whether the caller may call the method. The subject is
// the caller's name on the bus, which cannot be recycled as a process id can.
// An administrator is asked for a password only if the call allows it.
// Whatever goes wrong is a no.
func (s *Server) authorize(c call) *dbus.Error {
	action, ok := actions[c.iface][c.name]
	if !ok {
		return refuse(errorAccessDenied, "nobody may call %s", c.name)
	}
	if action == noPrivilege {
		return nil
	}
	type subject struct {
		Kind    string
		Details map[string]dbus.Variant
	}
	type result struct {
		Authorized bool
		Challenge  bool
		Details    map[string]string
	}
	const allowUserInteraction = 1
	var flags uint32
	if c.flags&dbus.FlagAllowInteractiveAuthorization != 0 {
		flags = allowUserInteraction
	}
	var r result
	err := s.conn.Object("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority").CallWithContext(s.ctx,
		"org.freedesktop.PolicyKit1.Authority.CheckAuthorization", 0,
		subject{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(c.sender)}},
		action, map[string]string{}, flags, "").Store(&r)
	switch {
	case err != nil:
		return refuse(errorAccessDenied, "cannot ask polkit about %s: %v", action, err)
	case r.Authorized:
		return nil
	case r.Challenge && flags == 0:
		return refuse(errorInteractive, "%s needs an authentication that the call does not allow", action)
	default:
		return refuse(errorAccessDenied, "polkit does not allow %s", action)
	}
}

// origin is who calls, as the history says it.
func (s *Server) origin(c call) (string, *dbus.Error) {
	uid, refusal := s.user(c)
	return fmt.Sprintf("uid:%d", uid), refusal
}

// user is the user who calls.
func (s *Server) user(c call) (uid uint32, refusal *dbus.Error) {
	err := s.conn.BusObject().CallWithContext(s.ctx, "org.freedesktop.DBus.GetConnectionUnixUser", 0, c.sender).Store(&uid)
	if err != nil {
		return 0, refuse(errorAccessDenied, "cannot tell who calls: %v", err)
	}
	return uid, nil
}
