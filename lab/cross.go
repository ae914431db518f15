// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"driverd/lab/stage"
)

// Environment is what has the go command and rpmbuild build for another architecture, with
// cgo and libudev, what its own machines run. Runner runs it here. It needs the network
// once, and no root: nothing of the architecture is installed.
func (a Architecture) Environment(ctx context.Context) ([]string, error) {
	return a.environment(ctx, false)
}

// EnvironmentHere is Environment for what only runs here, with Runner or without one: it
// finds its loader and its libraries where they are on this machine.
func (a Architecture) EnvironmentHere(ctx context.Context) ([]string, error) {
	return a.environment(ctx, true)
}

func (a Architecture) environment(ctx context.Context, here bool) ([]string, error) {
	dir, err := stage.Get(ctx, "libudev-"+a.debian, []string{"bookworm"}, func(ctx context.Context, dir string) error {
		return a.unpack(ctx, dir, "bookworm", "libudev-dev", "libudev1")
	})
	if err != nil {
		return nil, err
	}
	udev, libc := filepath.Join(dir, a.udev), filepath.Join("/usr", a.triple, "lib")
	flags := "-L" + udev
	if here {
		flags += fmt.Sprintf(" -Wl,-rpath,%s:%s,--dynamic-linker=%s", udev, libc, filepath.Join(libc, a.Loader))
	}
	return append(os.Environ(),
		"GOOS=linux", "GOARCH="+a.Go, "CGO_ENABLED=1", "CC="+a.triple+"-gcc",
		"GOFLAGS=-ldflags=-linkmode=external", // Go's own linker passes over most of CGO_LDFLAGS
		"CGO_CFLAGS=-O2 -I"+filepath.Join(dir, "usr/include"),
		"CGO_LDFLAGS="+flags,
		// Where qemu-user finds the loader, and that the libraries.
		"QEMU_LD_PREFIX="+filepath.Dir(libc), "QEMU_SET_ENV=LD_LIBRARY_PATH="+udev,
	), nil
}
