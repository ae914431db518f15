// SPDX-License-Identifier: Apache-2.0

package hwdetect

// Source is where it is written that a module drives a device. The strings are part
// of the D-Bus contract of org.fedoraproject.Driverd1.Manager.Explain.
type Source string

// The sources, in the order in which they are asked.
const (
	BuiltIn   Source = "built-in"  // the kernel's image
	Installed Source = "installed" // the modules on this guest
	Shipped   Source = "shipped"   // the index of the whole build that came with the kernel
	InCatalog Source = "catalog"   // the packages of the kernel's build
	InIndex   Source = "index"     // the index that driverd ships, of other kernels
)

// Claim is what a source says: that a module drives the devices that match a pattern.
type Claim struct {
	Source Source
	Alias  string // the pattern
	Module Module // without group and firmware where the source does not know them
}
