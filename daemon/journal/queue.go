// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"sync"

	"github.com/rs/zerolog"
)

// Queue is a writer for zerolog that never blocks: a goroutine of its own hands all
// events on, in their order. None is lost, however long the journal takes.
type Queue struct {
	to zerolog.LevelWriter

	mu     sync.Mutex
	events []event // that wait
	more   chan struct{}
	closed bool
	done   chan struct{}
}

type event struct {
	level zerolog.Level
	text  []byte
}

// NewQueue starts a queue of events to a writer. Close ends it.
func NewQueue(to zerolog.LevelWriter) *Queue {
	q := &Queue{to: to, more: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

func (q *Queue) Write(text []byte) (int, error) { return q.WriteLevel(zerolog.NoLevel, text) }

// WriteLevel implements zerolog.LevelWriter.
func (q *Queue) WriteLevel(level zerolog.Level, text []byte) (int, error) {
	q.mu.Lock()
	q.events = append(q.events, event{level, bytes.Clone(text)}) // zerolog uses its buffer again
	q.mu.Unlock()
	q.wake()
	return len(text), nil
}

func (q *Queue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// Close hands on what waits, and ends the queue.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
	<-q.done
}

func (q *Queue) run() {
	defer close(q.done)
	for range q.more {
		q.mu.Lock()
		events, closed := q.events, q.closed
		q.events = nil
		q.mu.Unlock()
		for _, e := range events {
			_, _ = q.to.WriteLevel(e.level, e.text) // a log that fails can tell nobody
		}
		if closed {
			return
		}
	}
}
