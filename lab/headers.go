// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"

	"driverd/lab/stage"
)

// headerPackage matches the packages that Debian's headers of a kernel need, beside a compiler.
var headerPackage = regexp.MustCompile(`(?m)^  Depends: (linux-(?:headers|kbuild)-\S+)$`)

// headers returns the folder that modules of the kernel are built against, as Debian's packages
// have it, among all that it refers to.
func (k DebianKernel) headers(ctx context.Context) (string, error) {
	kernel, err := k.files(ctx)
	if err != nil {
		return "", err
	}
	name := "linux-headers-" + kernel.release
	dir, err := stage.Get(ctx, "headers-"+k.Suite+"-"+k.Flavour, []string{kernel.modules}, func(ctx context.Context, dir string) error {
		debian, err := openArchive(ctx, k.Suite, k.architecture().debian)
		if err != nil {
			return err
		}
		defer debian.close()
		out, err := debian.apt(ctx, "apt-cache", "--no-recommends", "--no-suggests", "depends", name).Output()
		if err != nil {
			return fmt.Errorf("cannot find Debian's %s, which it may have replaced since the lab fetched that kernel: %w", name, err)
		}
		packages := []string{name}
		for _, m := range headerPackage.FindAllStringSubmatch(string(out), -1) {
			packages = append(packages, m[1])
		}
		return debian.unpack(ctx, dir, packages...)
	})
	return filepath.Join(dir, "usr/src", name), err
}

// symvers returns the file that lists the symbols that the kernel exports, with their checksums.
func (k DebianKernel) symvers(ctx context.Context) (string, error) {
	headers, err := k.headers(ctx)
	return filepath.Join(headers, "Module.symvers"), err
}
