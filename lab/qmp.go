// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// qmp is a client of QEMU's machine protocol (QEMU: docs/interop/qmp-spec.rst).
type qmp struct {
	conn net.Conn

	mu      sync.Mutex
	nextID  int
	replies map[int]chan qmpMessage
	events  []qmpEvent    // all since the start: a machine has few
	news    chan struct{} // closed and replaced when events grows
	lost    error         // why there will be nothing more
}

type qmpEvent struct {
	Name string
	Data struct {
		Device string // DEVICE_DELETED: the id
		ID     string // VSERPORT_CHANGE: the port's id
		Open   bool   // VSERPORT_CHANGE
		Status string // MIGRATION: "completed", "failed"...
	}
}

type qmpMessage struct {
	ID     int             `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// dialQMP connects to QEMU's socket and leaves the capabilities negotiation
// behind.
func dialQMP(ctx context.Context, socket string) (*qmp, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("cannot reach QEMU's QMP socket: %w", err)
	}
	q := &qmp{conn: conn, replies: map[int]chan qmpMessage{}, news: make(chan struct{})}
	go q.read()
	if err := q.execute(ctx, "qmp_capabilities", nil, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return q, nil
}

// read hands out what QEMU says until it says no more.
func (q *qmp) read() {
	dec := json.NewDecoder(q.conn)
	for {
		var m qmpMessage
		err := dec.Decode(&m)
		q.mu.Lock()
		switch {
		case err != nil:
			q.lost = fmt.Errorf("QEMU has ended: %w", err)
			for _, reply := range q.replies {
				close(reply)
			}
			q.replies = nil
			close(q.news)
			q.mu.Unlock()
			return
		case m.Event != "":
			event := qmpEvent{Name: m.Event}
			// An event's data may be of any shape; those waited for have this one.
			_ = json.Unmarshal(m.Data, &event.Data)
			q.events = append(q.events, event)
			close(q.news)
			q.news = make(chan struct{})
		case m.Return != nil || m.Error != nil:
			if reply, ok := q.replies[m.ID]; ok {
				reply <- m
				delete(q.replies, m.ID)
			}
		} // else the greeting
		q.mu.Unlock()
	}
}

// execute runs one QMP command. result, if not nil, takes what it returns.
func (q *qmp) execute(ctx context.Context, command string, args any, result any) error {
	fail := func(err error) error { return fmt.Errorf("cannot %s: %w", command, err) }
	reply := make(chan qmpMessage, 1)
	q.mu.Lock()
	if q.lost != nil {
		q.mu.Unlock()
		return fail(q.lost)
	}
	q.nextID++
	id := q.nextID
	q.replies[id] = reply
	request := map[string]any{"execute": command, "id": id}
	if args != nil {
		request["arguments"] = args
	}
	err := json.NewEncoder(q.conn).Encode(request)
	q.mu.Unlock()
	if err != nil {
		return fail(err)
	}
	select {
	case m, ok := <-reply:
		switch {
		case !ok:
			return fail(q.lost)
		case m.Error != nil:
			return fail(fmt.Errorf("%s: %s", m.Error.Class, m.Error.Desc))
		case result != nil:
			if err := json.Unmarshal(m.Return, result); err != nil {
				return fail(err)
			}
		}
		return nil
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	}
}

// mark returns the place in the stream of events from which wait looks: take it
// before the command that causes the event.
func (q *qmp) mark() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events)
}

// wait returns the place after the first event from mark on that matches.
func (q *qmp) wait(ctx context.Context, mark int, match func(qmpEvent) bool) (int, error) {
	for {
		q.mu.Lock()
		events, news, lost := q.events, q.news, q.lost
		q.mu.Unlock()
		for ; mark < len(events); mark++ {
			if match(events[mark]) {
				return mark + 1, nil
			}
		}
		if lost != nil {
			return mark, lost
		}
		select {
		case <-news:
		case <-ctx.Done():
			return mark, context.Cause(ctx)
		}
	}
}
