// SPDX-License-Identifier: Apache-2.0

package firmware

import (
	"slices"
	"strings"
)

// Whence is the package that all packages of firmware require: it says whence
// the files are, and under which licences.
const Whence = "linux-firmware-whence"

// packages are the subpackages of linux-firmware that hold all of a folder, as
// Fedora and RHEL 10 divide it (linux-firmware.spec, 20260221). What is in
// linux-firmware itself, hundreds of megabytes for every device there is, is not
// in the table on purpose, nor is what no PCI driver asks for.
var packages = []struct{ beginning, name string }{
	{"amdgpu/", "amd-gpu-firmware"},
	{"radeon/", "amd-gpu-firmware"},
	{"amdnpu/", "amd-gpu-firmware"},
	{"i915/", "intel-gpu-firmware"},
	{"nvidia/a", "nvidia-gpu-firmware"}, // ad102, but not tegra210
	{"nvidia/g", "nvidia-gpu-firmware"},
	{"nvidia/tu", "nvidia-gpu-firmware"},
	{"qed/", "qed-firmware"},
	{"netronome/", "netronome-firmware"},
	{"mellanox/", "mlxsw_spectrum-firmware"},
	{"liquidio/", "liquidio-firmware"},
	{"qcom/aic100/", "qcom-accel-firmware"},
}

// Package returns the name of the package that has a file, empty if that cannot
// be told by its name.
func Package(file string) string {
	for _, p := range packages {
		if strings.HasPrefix(file, p.beginning) {
			return p.name
		}
	}
	return ""
}

// Known says whether a package is a known one of linux-firmware.
func Known(name string) bool {
	return name == Whence || slices.ContainsFunc(packages, func(p struct{ beginning, name string }) bool { return p.name == name })
}
