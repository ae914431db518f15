// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"driverd/lab/stage"
)

// Architecture is one that driverd is built for here, though this machine is of another.
type Architecture struct {
	Go     string   // as GOARCH names it
	debian string   // as Debian names it
	udev   string   // where Debian has its libudev
	triple string   // begins the name of its compiler, and of the folder of its libc
	loader string   // of its programs, in that folder
	Runner []string // what runs its programs here, none if the processor does
}

// The architectures beside the guest's own.
var (
	I386    = Architecture{Go: "386", debian: "i386", udev: "usr/lib/i386-linux-gnu", triple: "i686-linux-gnu", loader: "ld-linux.so.2"}
	AArch64 = Architecture{Go: "arm64", debian: "arm64", udev: "usr/lib/aarch64-linux-gnu", triple: "aarch64-linux-gnu", loader: "ld-linux-aarch64.so.1", Runner: []string{"qemu-aarch64"}}
)

// Environment is what has the go command build for the architecture, with cgo and
// libudev. It needs the network once, and no root. What is built finds its libraries
// in that stage and beside the compiler: nothing of the architecture is installed.
func (a Architecture) Environment(ctx context.Context) ([]string, error) {
	dir, err := stage.Get(ctx, "libudev-"+a.debian, []string{"bookworm"}, func(ctx context.Context, dir string) error {
		debian, err := openArchive(ctx, "bookworm", a.debian)
		if err != nil {
			return err
		}
		defer debian.close()
		debs, err := debian.download(ctx, dir, "libudev-dev", "libudev1")
		if err != nil {
			return err
		}
		return unpackDebs(ctx, debs, dir)
	})
	if err != nil {
		return nil, err
	}
	udev, libc := filepath.Join(dir, a.udev), filepath.Join("/usr", a.triple, "lib")
	return append(os.Environ(),
		"GOOS=linux", "GOARCH="+a.Go, "CGO_ENABLED=1", "CC="+a.triple+"-gcc",
		"GOFLAGS=-ldflags=-linkmode=external", // Go's own linker passes over most of CGO_LDFLAGS
		"CGO_CFLAGS=-O2 -I"+filepath.Join(dir, "usr/include"),
		fmt.Sprintf("CGO_LDFLAGS=-L%s -Wl,-rpath,%s:%s,--dynamic-linker=%s", udev, udev, libc, filepath.Join(libc, a.loader)),
	), nil
}
