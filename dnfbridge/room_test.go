// SPDX-License-Identifier: Apache-2.0

package dnfbridge_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"driverd/reason"
)

// What there is no room for is not begun.
func TestNoRoom(t *testing.T) {
	f := good()
	f.items[0].Object["install_size"] = dbus.MakeVariant(uint64(1) << 60)
	d, _ := f.serve(t)
	large := plan
	large.Into = t.TempDir() + "/lib/modules/7.2" // not there yet
	err := d.Install(t.Context(), large, nil)
	if reason.Of(err) != reason.NoSpace || !strings.Contains(err.Error(), "make room") {
		t.Errorf("%v, reason %q", err, reason.Of(err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done != 0 {
		t.Errorf("%d transactions all the same", f.done)
	}
}
