// SPDX-License-Identifier: Apache-2.0

package main

import "context"

// interruptible returns what f does, or why ctx ends if that comes first: a file system
// may never answer, and Ctrl-C is to end the command all the same.
func interruptible[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := f()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
