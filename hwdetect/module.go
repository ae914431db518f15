// SPDX-License-Identifier: Apache-2.0

package hwdetect

// Module is a module of the running kernel's build, whether it is on this guest
// or not, as the index says that came with the kernel.
type Module struct {
	Name     string   // in the kernel's spelling
	Group    string   // of the package that holds it
	Firmware []string // files that it, or a module that it depends on, may ask for
}
