// SPDX-License-Identifier: Apache-2.0

// Package outside sees what DNF may fail for that is neither hardware nor of the
// service: the guest's network, and the configuration of the repositories.
package outside

import "driverd/internal/tree"

// Folders are where DNF 5 reads what its repositories are: their definitions,
// what overrides these, its own configuration, variables, keys. See dnf5.conf(5).
var Folders = []string{
	"/etc/yum.repos.d", "/etc/distro.repos.d", "/usr/share/dnf5/repos.d",
	"/etc/dnf/repos.override.d", "/usr/share/dnf5/repos.override.d",
	"/etc/dnf", "/etc/dnf/libdnf5.conf.d", "/usr/share/dnf5/libdnf.conf.d",
	"/etc/dnf/vars", "/usr/share/dnf5/vars.d", "/etc/pki/rpm-gpg",
}

// Guest is this guest. Repositories are configured in its Folders.
type Guest struct{ Folders []string }

// Repositories returns a text that is another one when the configuration of the
// repositories may be: which files there are, and when each was changed.
func (g Guest) Repositories() string { return tree.At("/").Stamp(g.Folders...) }
