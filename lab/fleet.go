// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	_ "embed" // for ansible.sh
	"os/exec"
	"path/filepath"
)

//go:embed ansible.sh
var ansibleScript string

// fleetScript leaves it to a test to start Prometheus.
const fleetScript = `systemctl disable prometheus.service prometheus-node-exporter.service
systemctl enable ssh.service
`

// BuildFleetImage makes the disk of a guest like BuildImage's without driverd. It has Debian's
// ssh server, node_exporter and Prometheus, and the Python modules that Ansible needs to
// install packages with dnf5.
func BuildFleetImage(ctx context.Context) (*Image, error) {
	debian := []string{"openssh-server", "python3-libdnf5", "prometheus", "prometheus-node-exporter", "curl", "jq"}
	return buildRicherImage(ctx, "fleet-", "fleet-root", debian, fleetScript)
}

// Ansible returns a command of Debian testing's ansible-core or ansible-lint. It runs on this
// machine in a root of its own, with the folder dir as its working folder /work, and driverd's
// role in /work/roles.
func Ansible(ctx context.Context, dir string, argv ...string) (*exec.Cmd, error) {
	if err := needRoot("root of Ansible"); err != nil {
		return nil, err
	}
	root, err := buildRoot(ctx, "ansible-root", "ansible-core", "ansible-lint", "ca-certificates", "openssh-client")
	if err != nil {
		return nil, err
	}
	checkout, err := Checkout()
	if err != nil {
		return nil, err
	}
	script := []string{"sh", "-euc", ansibleScript, "sh", root, filepath.Join(checkout, "contrib", "ansible", "roles"), dir}
	return isolated(ctx, append(script, argv...)...), nil
}
