// SPDX-License-Identifier: Apache-2.0

package hwdetect

// Claim is an alias by which a module of the running kernel claims a device.
type Claim struct {
	Module  string // in the kernel's spelling
	Alias   string // the pattern that matches the device's modalias
	BuiltIn bool   // in the kernel's image
	Shipped bool   // of the build, by the index that came with it; else a file on this guest
}
