// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"sync"
)

// publisher publishes views in a goroutine of its own: whoever reads slowly delays
// later views, and no device. A view that is not published yet when the next one
// comes is never published.
type publisher struct {
	publish func(View)
	wake    chan struct{}

	mu     sync.Mutex
	latest *View         // to be published, nil if it was
	shown  chan struct{} // closed when the latest is published
}

func newPublisher(publish func(View)) *publisher {
	shown := make(chan struct{})
	close(shown)
	return &publisher{publish: publish, wake: make(chan struct{}, 1), shown: shown}
}

// put makes v the view that is published next. It never blocks.
func (p *publisher) put(v View) {
	p.mu.Lock()
	if p.latest == nil {
		p.shown = make(chan struct{})
	}
	p.latest = &v
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// published returns what is closed when everything that was put is published.
func (p *publisher) published() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown
}

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context) {
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		v, shown := p.latest, p.shown
		p.latest = nil
		p.mu.Unlock()
		if v != nil {
			p.publish(*v)
			close(shown)
		}
	}
}
