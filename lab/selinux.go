// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	_ "embed" // for selinux.sh
	"fmt"
	"os"
	"path/filepath"
)

//go:embed selinux.sh
var selinuxScript string

// BuildSELinuxImage makes the disk of a guest like BuildImage's that has Debian's policy for
// SELinux, and driverd's module, which is built against that policy.
func BuildSELinuxImage(ctx context.Context, rpm string) (*Image, error) {
	checkout, err := Checkout()
	if err != nil {
		return nil, err
	}
	script := "mkdir /tmp/policy\n"
	for _, name := range []string{"driverd.te", "driverd.if", "driverd.fc"} {
		text, err := os.ReadFile(filepath.Join(checkout, "packaging", "selinux", name))
		if err != nil {
			return nil, fmt.Errorf("cannot read driverd's policy module: %w", err)
		}
		script += fmt.Sprintf("cat >/tmp/policy/%s <<'END'\n%sEND\n", name, text)
	}
	debian := []string{"selinux-policy-default", "selinux-policy-dev"}
	return buildRicherImage(ctx, "selinux-", "selinux-root", debian, script+selinuxScript, rpm)
}
