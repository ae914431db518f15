// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const stubName = "debian-base"

// stubProvides is what packages of ours require and Debian's packages brought.
var stubProvides = []string{
	"/bin/sh", "/usr/bin/sh", "/usr/sbin/depmod",
	"cloud-init", "coreutils", "dbus", "dnf5daemon-server", "hwdata", "kmod", "polkit", "systemd", "systemd-udev",
	"rtld(GNU_HASH)", // Fedora's glibc says so by hand too
}

// stubLibraries match those that a Go program with cgo, and libudev, can need.
var stubLibraries = []string{"libc.so.6", "ld-linux*.so.*", "libresolv.so.2", "libpthread.so.0", "libudev.so.1"}

// Stub packs, into dir, a package without files that speaks for Debian's in root, which is
// of an architecture as RPM names it: RPM knows nothing of what dpkg installed. It is not
// signed.
func Stub(ctx context.Context, root, arch, dir string) (err error) {
	work, err := os.MkdirTemp("", "driverd-stub-")
	if err != nil {
		return fmt.Errorf("cannot pack %s: %w", stubName, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := packStub(ctx, root, arch, work, dir); err != nil {
		return fmt.Errorf("cannot pack %s: %w", stubName, err)
	}
	return nil
}

func packStub(ctx context.Context, root, arch, work, dir string) error {
	libraries, err := libraryProvides(ctx, root, work)
	if err != nil {
		return err
	}
	var spec strings.Builder
	fmt.Fprintf(&spec, "Name: %s\nVersion: 1\nRelease: 1\nSummary: What Debian's own packages provide\nLicense: Apache-2.0\nAutoReqProv: no\n", stubName)
	for _, p := range append(libraries, stubProvides...) {
		fmt.Fprintf(&spec, "Provides: %s\n", p)
	}
	spec.WriteString("%description\nStands in RPM's database for what dpkg installed.\n%files\n")
	return rpmbuild(ctx, spec.String(), arch, work, dir)
}

// libraryProvides asks rpm's own generator what the root's libraries provide.
// It looks at executable files only, and Debian's libraries are not: it gets
// copies.
func libraryProvides(ctx context.Context, root, work string) (_ []string, err error) {
	copies, err := os.MkdirTemp(work, "libraries-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(copies)) }()
	generator, err := exec.CommandContext(ctx, "rpm", "--eval", "%{_rpmconfigdir}/elfdeps").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot ask rpm for its configuration: %w", err)
	}
	elfdeps := exec.CommandContext(ctx, strings.TrimSpace(string(generator)), "--provides")
	var names strings.Builder
	for _, library := range stubLibraries {
		found, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-gnu", library))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("cannot find %s in %s: found %d", library, root, len(found))
		}
		data, err := os.ReadFile(found[0])
		if err != nil {
			return nil, err
		}
		copied := filepath.Join(copies, filepath.Base(found[0]))
		if err := os.WriteFile(copied, data, 0o755); err != nil {
			return nil, err
		}
		names.WriteString(copied + "\n")
	}
	elfdeps.Stdin = strings.NewReader(names.String())
	out, err := elfdeps.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot ask rpm what the libraries provide: %w", err)
	}
	return strings.Fields(string(out)), nil
}
