// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"driverd/daemon/config"
	"driverd/daemon/gate"
	"driverd/hwdetect/kmod"
	"driverd/internal/tree"
)

// RunningKernel returns the release of the running kernel, as uname -r does.
func RunningKernel() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("cannot ask for the kernel's release: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// Kernel returns the kernel release that a tree is about: that of the running
// kernel for the system's own, else the only one with modules.
func Kernel(root string) (string, error) {
	if filepath.Clean(root) == "/" {
		return RunningKernel()
	}
	dir := filepath.Join(root, "lib/modules")
	_, err := tree.At(root).Names("lib/modules") // it may be anything
	var releases []string
	if err == nil {
		releases, err = kmod.Releases(dir)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot tell the kernel's release: %w", err)
	case len(releases) == 0:
		return "", fmt.Errorf("cannot tell the kernel's release: %s holds none", dir)
	case len(releases) > 1:
		return "", fmt.Errorf("cannot tell the kernel's release: %s holds %s; make a record of one with driverd record, while it runs",
			dir, strings.Join(releases, ", "))
	}
	return releases[0], nil
}

// Gate says why nothing can be done in the guest whose files are under root,
// nil if something can. A configuration that cannot be read lets no gate be
// passed over.
func Gate(root string) error {
	release, err := Kernel(root)
	if err != nil {
		return nil // and the service says why it cannot run
	}
	configured, _ := config.Load(root)
	return gate.Check(root, release, configured.IgnoreGates)
}
