// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"driverd/plan"
)

// Whoever reads slowly, or not at all, delays no device; and what is read then is
// the latest view, not the oldest that was missed.
func TestSlowReaderDelaysNoDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		engine, stop := w.run(t)
		published := 0
		w.change(func() { w.onPublish = func() { published++; time.Sleep(time.Hour) } })
		w.plug(1, igb.alias)
		engine.Kick()
		after(time.Minute)
		w.change(func() {
			if got := w.devices[slot(1)].Driver; got != igb.module {
				t.Errorf("after a minute the driver is %q", got)
			}
		})
		if err := engine.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := engine.Rescan(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		after(2 * time.Hour)
		expect(t, w.device(1), plan.Bound, "")
		if published > 4 {
			t.Errorf("published %d times in two hours", published)
		}
		began := time.Now()
		if stop(); time.Since(began) > 0 {
			t.Errorf("the engine has ended after %s", time.Since(began))
		}
		after(time.Hour) // for the last view
	})
}
