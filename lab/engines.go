// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	_ "embed" // for container-root.sh
	"slices"
)

// enginePackages are what runs containers: Docker, podman with crun and netavark, and LXC
// with what an unprivileged user needs for it. Docker's and LXC's services are left out of
// the boot: a test starts the one that it is about.
var enginePackages = []string{
	"docker.io", "docker-cli", "podman", "crun", "netavark", "lxc", "uidmap", "busybox-static",
}

//go:embed container-root.sh
var containerRootScript string

// ContainerRoot is the root of a container in a guest of BuildEnginesImage: busybox, and
// driverd with the libraries that it is linked with.
const ContainerRoot = "/srv/container"

// BuildEnginesImage makes the disk of a guest with driverd and container engines, whose
// kernel is divided by the rules of the split alone. It has the base of that kernel.
func BuildEnginesImage(ctx context.Context, rpm string) (*Image, error) {
	packages, kernel, err := baseRepo(ctx)
	if err != nil {
		return nil, err
	}
	root, err := buildRoot(ctx, "engines-root", slices.Concat(rootPackages, enginePackages)...)
	if err != nil {
		return nil, err
	}
	return buildImage(ctx, "engines-", root, packages, kernel, containerRootScript, rpm)
}
