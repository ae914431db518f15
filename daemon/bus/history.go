// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"sync"
	"time"

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
	return []any{s.past.of(all)}, nil
}

// pastReply is the reply of History, which is made when there is a new entry.
type pastReply struct {
	mu    sync.Mutex
	count int
	last  time.Time
	made  reply
}

// of returns the reply for the entries, the newest of which is the first.
func (p *pastReply) of(all []daemon.Entry) reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last time.Time
	if len(all) > 0 {
		last = all[0].Time
	}
	if p.made.body == nil || p.count != len(all) || !p.last.Equal(last) {
		p.count, p.last, p.made = len(all), last, encode([]any{entries(all)})
	}
	return p.made
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
