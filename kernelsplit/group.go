// SPDX-License-Identifier: Apache-2.0

package kernelsplit

import (
	"fmt"
	"slices"

	"driverd/kernelbuild"
)

// Group is one of the subpackages that a module tree is divided into.
type Group string

// The groups. Every group requires Base, and Hardware requires all others, so
// that a machine with kernel-modules has every module of the build.
const (
	Base        Group = kernelbuild.Base
	SRIOV       Group = kernelbuild.SRIOV
	GPU         Group = kernelbuild.GPU
	Passthrough Group = kernelbuild.Passthrough
	Hardware    Group = kernelbuild.Hardware
)

// Groups lists every group, what is required before what requires it.
func Groups() []Group {
	var groups []Group
	for _, name := range kernelbuild.Groups() {
		groups = append(groups, Group(name))
	}
	return groups
}

// ParseGroup reads the name of a group.
func ParseGroup(s string) (Group, error) {
	if g := Group(s); slices.Contains(Groups(), g) {
		return g, nil
	}
	return "", fmt.Errorf("cannot read %q as a group: want one of %v", s, Groups())
}

// Requires lists the groups that are installed wherever g is.
func (g Group) Requires() []Group {
	switch g {
	case Base:
		return nil
	case Hardware:
		return []Group{Base, SRIOV, GPU, Passthrough}
	default:
		return []Group{Base}
	}
}

// Reaches says whether a module of group g finds a module of group other
// wherever it is installed.
func (g Group) Reaches(other Group) bool {
	return g == other || slices.Contains(g.Requires(), other)
}

// Meet is the largest group that both g and other reach: where a module has to
// be that both depend on. The groups form a lattice with Base at the bottom
// and Hardware on top, so there is always exactly one.
func (g Group) Meet(other Group) Group {
	switch {
	case g.Reaches(other):
		return other
	case other.Reaches(g):
		return g
	default:
		return Base
	}
}

// join is the smallest group that reaches both g and other: where a module has
// to be that depends on one in each.
func (g Group) join(other Group) Group {
	switch {
	case g.Reaches(other):
		return g
	case other.Reaches(g):
		return other
	default:
		return Hardware
	}
}

// Suffix is what the subpackage's name adds to the name of the kernel's source
// package.
func (g Group) Suffix() string { return kernelbuild.Subpackage(string(g)) }

// summary is the Summary tag of the subpackage.
func (g Group) summary() string {
	switch g {
	case Base:
		return "Kernel modules that every guest needs"
	case SRIOV:
		return "Kernel modules for network cards with SR-IOV"
	case GPU:
		return "Kernel modules for graphics cards and accelerators"
	case Passthrough:
		return "Kernel modules for other devices passed through to a guest"
	default:
		return "Kernel modules for all other hardware"
	}
}
