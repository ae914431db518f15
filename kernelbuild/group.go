// SPDX-License-Identifier: Apache-2.0

package kernelbuild

import (
	"slices"
	"strings"
)

// The groups that the modules of a build are divided into. Each is a subpackage.
const (
	Base        = "base"        // what a guest needs before any device event
	SRIOV       = "sriov"       // network cards with virtual functions, and what rides on them
	GPU         = "gpu"         // displays and accelerators
	Passthrough = "passthrough" // the other devices that a host plausibly hands to a guest
	Hardware    = "hardware"    // the rest
)

// Groups lists every group, what is required before what requires it.
func Groups() []string { return []string{Base, SRIOV, GPU, Passthrough, Hardware} }

// OptionalGroups lists the groups that a guest may lack: all but Base.
func OptionalGroups() []string { return Groups()[1:] }

// Subpackage returns what the name of a group's subpackage adds to the name of
// the kernel's source package. Base and Hardware keep the names that Fedora gave
// them, so that kernel-modules holds what it always held.
func Subpackage(group string) string {
	switch group {
	case Base:
		return "modules-core"
	case Hardware:
		return "modules"
	}
	return "modules-" + group
}

// GroupOf returns the group of a package with these Provides. It reads
// "kernel-modules-GROUP-uname-r", which every subpackage of a kernel carries;
// variants put their own word in front ("kernel-64k-modules-GROUP-uname-r"). A
// subpackage of modules that is no group of its own counts as Hardware, any
// other package as Base.
func GroupOf(provides []string) string {
	for _, capability := range provides {
		name, _, _ := strings.Cut(capability, " ")
		stem, ok := strings.CutSuffix(name, "-uname-r")
		if !ok {
			continue
		}
		_, group, isModules := strings.Cut(stem+"-", "-modules-")
		switch group = strings.TrimSuffix(group, "-"); {
		case isModules && group != Base && group != Hardware && slices.Contains(Groups(), group):
			return group
		case isModules && "modules-"+group != Subpackage(Base):
			return Hardware
		}
	}
	return Base
}
