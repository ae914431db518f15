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

// What has filled the disk is cut off again by the time anybody looks.
func TestNoRoomForADownload(t *testing.T) {
	const size = int64(1) << 60
	f := good()
	f.items[0].Object["download_size"] = dbus.MakeVariant(uint64(size))
	f.download = func(client string) *dbus.Error {
		send(f.conn, client, "Base.download_add_new", "package:1", "a-0:1-1.x86_64", size)
		send(f.conn, client, "Base.download_progress", "package:1", size, size-1)
		send(f.conn, client, "Base.download_end", "package:1", uint32(2), "Curl error (23): Failed writing received data to disk/application")
		return dbus.NewError("org.rpm.dnf.v0.rpm.Rpm.TransactionError", []any{"Failed to download packages"})
	}
	d, _ := f.serve(t)
	if err := d.Install(t.Context(), plan, nil); reason.Of(err) != reason.NoSpace {
		t.Errorf("%v, reason %q", err, reason.Of(err))
	}
}
