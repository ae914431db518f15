// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"github.com/godbus/dbus/v5"

	"driverd/api"
	"driverd/daemon"
)

func (s *Server) history(c call) ([]any, *dbus.Error) {
	if refusal := noOptions(c.body[0]); refusal != nil {
		return nil, refusal
	}
	all, err := s.engine.History(s.ctx)
	if err != nil {
		return nil, answerTo(err)
	}
	return []any{entries(all)}, nil
}

func entries(all []daemon.Entry) []map[string]dbus.Variant {
	out := []map[string]dbus.Variant{}
	for _, e := range all {
		out = append(out, map[string]dbus.Variant{
			"Time":     dbus.MakeVariant(micros(e.Time)),
			"Began":    dbus.MakeVariant(micros(e.Began)),
			"Action":   dbus.MakeVariant(text(e.Action)),
			"Origin":   dbus.MakeVariant(text(e.Origin)),
			"Job":      dbus.MakeVariant(dbus.ObjectPath(api.JobPath(e.Job))),
			"Packages": dbus.MakeVariant(texts(e.Packages)),
			"Slots":    dbus.MakeVariant(texts(e.Slots)),
			"State":    dbus.MakeVariant(text(string(e.State))),
			"Reason":   dbus.MakeVariant(text(e.Reason)),
			"Message":  dbus.MakeVariant(text(e.Message)),
		})
	}
	return out
}

func (s *Server) setMode(c call) ([]any, *dbus.Error) {
	if refusal := noOptions(c.body[1]); refusal != nil {
		return nil, refusal
	}
	origin, refusal := s.origin(c)
	if refusal != nil {
		return nil, refusal
	}
	if err := s.engine.SetMode(s.ctx, daemon.Mode(c.body[0].(string)), origin); err != nil {
		return nil, answerTo(err)
	}
	return nil, nil
}
