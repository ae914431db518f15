// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net"
	"regexp"
)

// forwarded matches what QEMU says of a port of the host's that leads to one of the guest.
var forwarded = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)\s`)

// Forward makes a port of the guest reachable by the host's loopback, and returns the
// address there.
func (g *Guest) Forward(ctx context.Context, port int) (string, error) {
	monitor := func(command string) (said string, err error) {
		err = g.qmp.execute(ctx, "human-monitor-command", map[string]any{"command-line": command}, &said)
		return said, err
	}
	said, err := monitor(fmt.Sprintf("hostfwd_add net tcp:127.0.0.1:0-:%d", port))
	if err != nil {
		return "", err
	}
	table, err := monitor("info usernet")
	if err != nil {
		return "", err
	}
	for _, m := range forwarded.FindAllStringSubmatch(table, -1) {
		if m[2] == fmt.Sprint(port) {
			return net.JoinHostPort("127.0.0.1", m[1]), nil
		}
	}
	return "", fmt.Errorf("cannot forward port %d of the guest: QEMU says %q, and shows %q", port, said, table)
}
