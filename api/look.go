// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"iter"
)

// Look yields the devices at once, and again whenever something may have changed,
// until ctx ends. While the service does not run it yields ErrNoService, and goes
// on: a restart is no reason to end. Any other error is the last that it yields;
// the end of ctx is none.
func (c *Client) Look(ctx context.Context) iter.Seq2[[]Device, error] {
	return func(yield func([]Device, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		kicks, err := c.Watch(ctx) // before the first look, so that nothing falls between
		if err != nil {
			if ctx.Err() == nil {
				yield(nil, err)
			}
			return
		}
		for ctx.Err() == nil {
			devices, err := c.Devices(ctx)
			c.Wake = nil // whoever watches a service lets it rest
			if ctx.Err() != nil || !yield(devices, err) || err != nil && !errors.Is(err, ErrNoService) {
				return
			}
			if _, ok := <-kicks; !ok && ctx.Err() == nil {
				yield(nil, errors.New("cannot go on watching: the connection to the bus is lost"))
				return
			}
		}
	}
}
