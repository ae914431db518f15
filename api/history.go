// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"

	"github.com/godbus/dbus/v5"
)

// Entry is one thing that was done.
type Entry struct {
	Time     uint64   `json:"time"`  // of its end, realtime microseconds
	Began    uint64   `json:"began"` // realtime microseconds
	Action   string   `json:"action"`
	Origin   string   `json:"origin"`
	Job      string   `json:"job"` // path that it had, empty if it was none
	Packages []string `json:"packages"`
	Slots    []string `json:"slots"`
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	Message  string   `json:"message"`
}

// History returns what was done, the newest first.
func (c *Client) History(ctx context.Context) ([]Entry, error) {
	all, err := ask[[]map[string]dbus.Variant](ctx, c, ManagerInterface+".History", map[string]dbus.Variant{})
	if err != nil {
		return nil, err
	}
	entries := []Entry{}
	for _, from := range all {
		r := reader{from: from}
		entries = append(entries, newEntry(&r))
		if r.err != nil {
			return nil, r.err
		}
	}
	return entries, nil
}

// SetMode sets how far the service may go by itself, "auto" or "observe", for
// good; "" gives that back to the configuration. The error is ErrNotAuthorized if polkit does not let the caller.
func (c *Client) SetMode(ctx context.Context, mode string) error {
	_, err := c.call(ctx, RootPath, ManagerInterface+".SetMode", mode, map[string]dbus.Variant{})
	return err
}

func newEntry(r *reader) Entry {
	e := Entry{Packages: []string{}, Slots: []string{}} // lists in JSON, never null
	r.read("Time", &e.Time)
	r.read("Began", &e.Began)
	r.read("Action", &e.Action)
	r.read("Origin", &e.Origin)
	r.path("Job", &e.Job)
	r.read("Packages", &e.Packages)
	r.read("Slots", &e.Slots)
	r.read("State", &e.State)
	r.read("Reason", &e.Reason)
	r.read("Message", &e.Message)
	return e
}
