// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"slices"
)

// cloudPackages are those of Debian's that a guest with cloud-init has.
var cloudPackages = []string{"cloud-init", "createrepo-c"}

// BuildCloudImage makes the disk of a guest like BuildImage's that has
// cloud-init too, and these packages.
func BuildCloudImage(ctx context.Context, rpms ...string) (*Image, error) {
	return buildCloudImage(ctx, "cloud-", "", rpms...)
}

// BuildGoldenImage makes the disk of a guest like BuildCloudImage's for which a
// script did something when it was made: in its root, and with that at /mnt as
// a root that is not the script's own.
func BuildGoldenImage(ctx context.Context, script string, rpms ...string) (*Image, error) {
	return buildCloudImage(ctx, "golden-", script, rpms...)
}

func buildCloudImage(ctx context.Context, prefix, script string, rpms ...string) (*Image, error) {
	return buildRicherImage(ctx, prefix, "cloud-root", cloudPackages, script, rpms...)
}

// BuildPeersImage makes the disk of a guest like BuildImage's that has other
// services too, with which driverd is compared.
func BuildPeersImage(ctx context.Context, rpm string) (*Image, error) {
	return buildRicherImage(ctx, "peers-", "peers-root", []string{"packagekit", "fwupd"}, "", rpm)
}

// BuildDracutImage makes the disk of a guest like BuildImage's that has dracut, for DracutRepo.
func BuildDracutImage(ctx context.Context, rpm string) (*Image, error) {
	return buildRicherImage(ctx, "dracut-", "dracut-root", []string{"dracut-core"}, "", rpm)
}

// BuildBrokerImage makes the disk of a guest like BuildImage's whose bus is dbus-broker's.
func BuildBrokerImage(ctx context.Context, rpm string) (*Image, error) {
	return buildRicherImage(ctx, "broker-", "broker-root", []string{"dbus-broker"}, "systemctl enable dbus-broker.service", rpm)
}

// buildRicherImage makes the disk of a guest that has more of Debian's packages;
// prefix and rootName tell its stages from those of others.
func buildRicherImage(ctx context.Context, prefix, rootName string, more []string, script string, rpms ...string) (*Image, error) {
	_, repo, kernel, err := ground(ctx)
	if err != nil {
		return nil, err
	}
	root, err := buildRoot(ctx, rootName, slices.Concat(rootPackages, more)...)
	if err != nil {
		return nil, err
	}
	return buildImage(ctx, prefix, root, repo, kernel, script, rpms...)
}

// cloudConfig has cloud-init take its data from the disk, and do what costs
// little: no search for other clouds, no locales, no mirrors.
const cloudConfig = `datasource_list: [NoCloud]
network: {config: disabled}
users: []
cloud_init_modules: [write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user, final-message]
`

// NoCloud returns the files that give a guest with cloud-init its data.
func NoCloud(userData, vendorData string) map[string]string {
	const seed = "/var/lib/cloud/seed/nocloud/"
	return map[string]string{
		"/etc/cloud/cloud.cfg.d/99-lab.cfg": cloudConfig,
		seed + "meta-data":                  "instance-id: first\n",
		seed + "user-data":                  userData,
		seed + "vendor-data":                vendorData,
	}
}
