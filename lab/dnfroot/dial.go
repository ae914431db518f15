// SPDX-License-Identifier: Apache-2.0

package dnfroot

import (
	"fmt"
	"runtime"
	"strconv"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// dialAs connects as the given user. The kernel notes the peer's credentials
// at connect(2), and user ids belong to threads: only the thread of this call
// changes its effective user, by the raw system call, because the libc and the
// syscall package would change it in all threads.
func dialAs(uid int, address string, opts ...dbus.ConnOption) (*dbus.Conn, error) {
	opts = append(opts, dbus.WithAuth(dbus.AuthExternal(strconv.Itoa(uid))))
	if uid == 0 {
		return dbus.Connect(address, opts...)
	}
	type result struct {
		conn *dbus.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and with it the
		// changed user.
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			done <- result{err: fmt.Errorf("cannot become user %d: %w", uid, errno)}
			return
		}
		conn, err := dbus.Dial(address, opts...)
		done <- result{conn, err}
	}()
	r := <-done
	if r.err != nil {
		return nil, r.err
	}
	// The rest runs outside that thread: godbus starts goroutines on the way.
	if err := r.conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(uid))}); err != nil {
		_ = r.conn.Close()
		return nil, err
	}
	if err := r.conn.Hello(); err != nil {
		_ = r.conn.Close()
		return nil, err
	}
	return r.conn, nil
}
