// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"path/filepath"

	"driverd/lab/rpmrepo"
	"driverd/lab/stage"
)

// The users of a guest with Cockpit. The first may become root.
const (
	CockpitAdmin    = "admin"
	CockpitVisitor  = "visitor"
	CockpitPassword = "driverd-lab" //nolint:gosec // of guests that nobody else can reach
)

// cockpitScript makes Cockpit's users, and has it answer without TLS: it is asked by
// way of the host's loopback only. In an emulated guest, a login takes longer than the half
// minute that Cockpit has for it.
const cockpitScript = `useradd -m -s /bin/bash -G sudo ` + CockpitAdmin + `
useradd -m -s /bin/bash ` + CockpitVisitor + `
printf '%s:` + CockpitPassword + `\n' ` + CockpitAdmin + ` ` + CockpitVisitor + ` | chpasswd
mkdir -p /etc/cockpit
printf '[WebService]\nAllowUnencrypted = true\n[basic]\ntimeout = 600\n' >/etc/cockpit/cockpit.conf
systemctl enable cockpit.socket
`

// BuildCockpitImage makes the disk of a guest like BuildImage's that has Debian's Cockpit
// too, and these packages: driverd's, and that of its page.
func BuildCockpitImage(ctx context.Context, rpms ...string) (*Image, error) {
	bridge := rpmrepo.Package{Name: "cockpit-bridge", Version: "1", Release: "1", Unsigned: true}
	// It speaks for Debian's, of which RPM knows nothing.
	dir, err := stage.Get(ctx, "cockpit-bridge", []string{bridge.NEVRA()}, func(ctx context.Context, dir string) error {
		return rpmrepo.Build(ctx, dir, nil, []rpmrepo.Package{bridge})
	})
	if err != nil {
		return nil, err
	}
	rpms = append(rpms, filepath.Join(dir, bridge.NEVRA()+".rpm"))
	// Without a bus of the user's, Cockpit's bridge ends at the second page that asks for it
	// (cockpit-project/bots#9432).
	debian := []string{"cockpit-bridge", "cockpit-system", "cockpit-ws", "dbus-user-session", "sudo"}
	return buildRicherImage(ctx, "cockpit-", "cockpit-root", debian, cockpitScript, rpms...)
}
