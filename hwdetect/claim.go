// SPDX-License-Identifier: Apache-2.0

package hwdetect

// Claim is an alias by which a module of the running kernel claims a device.
type Claim struct {
	Module  string // in the kernel's spelling
	Alias   string // the pattern that matches the device's modalias
	BuiltIn bool   // else the module is a file on this guest
}
