// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// barrierTime is how long systemd may take: it starts and stops other things meanwhile.
const barrierTime = 10 * time.Second

// barrier returns when systemd has taken in all that the service has told it, as
// sd_notify_barrier(3) does: systemd closes the descriptor that it is sent.
func barrier() error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil // nobody is told
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot wait for systemd: %w", err)
	}
	defer func() { _ = reader.Close() }()
	err = send(address, "BARRIER=1", int(writer.Fd()))
	_ = writer.Close() // which leaves systemd's
	if err == nil {
		err = reader.SetReadDeadline(time.Now().Add(barrierTime))
	}
	if err != nil {
		return fmt.Errorf("cannot wait for systemd: %w", err)
	}
	if _, err := reader.Read(make([]byte, 1)); os.IsTimeout(err) {
		return fmt.Errorf("cannot wait for systemd any longer: it has taken nothing in for %s", barrierTime)
	}
	return nil
}

// send sends a text and a descriptor to a socket of datagrams.
func send(address, text string, descriptor int) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	return unix.Sendmsg(socket, []byte(text), unix.UnixRights(descriptor), &unix.SockaddrUnix{Name: address}, unix.MSG_NOSIGNAL)
}
