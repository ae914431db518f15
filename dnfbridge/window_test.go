// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// Between the last look of the guard and the transaction another client of the server
// has next to no time: the server resolves, and is told to go on.
func TestWindow(t *testing.T) {
	f := good()
	var shortest time.Duration
	f.do = func(string) *dbus.Error {
		f.locked(func() {
			if took := time.Since(f.resolved); shortest == 0 || took < shortest {
				shortest = took
			}
		})
		return nil
	}
	d, _ := f.serve(t)
	for range 20 {
		if err := d.Install(t.Context(), plan, nil); err != nil {
			t.Fatal(err)
		}
	}
	if shortest > 100*time.Millisecond { // on a busy machine
		t.Errorf("it is open for %s", shortest)
	}
	t.Logf("from the server's answer to the transaction: %s", shortest)
}
