// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"path/filepath"
	"strings"

	"driverd/daemon"
	"driverd/daemon/state"
	"driverd/hwdetect"
	"driverd/hwdetect/kmod"
	"driverd/hwdetect/sysfs"
	"driverd/internal/tree"
	"driverd/plan"
)

// folder is that of a kernel's modules.
type folder string

func (f folder) Children(identities []string) (map[string]hwdetect.ChildModules, error) {
	return kmod.Children(string(f), identities)
}

// addParts adds to an explanation what a device that has its driver consists of, and
// what its children need.
func addParts(x *daemon.Explanation, device hwdetect.Device, facts plan.Facts, root string) error {
	if device.Driver == "" {
		return nil
	}
	parts, err := sysfs.New(root).Parts(device.Slot)
	if err != nil {
		return err
	}
	x.Device.Functions, x.Device.Children = parts.Functions, parts.Children
	var identities []string
	for _, c := range parts.Children {
		if c.Driver == "" {
			identities = append(identities, c.Modalias)
		}
	}
	modules, err := tree.At(root).Folder(filepath.Join("lib/modules", facts.Release))
	if err != nil {
		return err
	}
	kept, err := tree.At(root).Folder(StateDir)
	if err != nil {
		return err
	}
	claims, err := daemon.FindChildDrivers(folder(modules), state.Catalogs{Dir: kept}, facts.Release, identities)
	if err != nil {
		return err
	}
	notes := daemon.NewChildNotes()
	for _, c := range parts.Children {
		child := claims[c.Modalias]
		child.Child = c
		notes.Add(c, plan.DecideChild(device, x.Want, child, facts))
	}
	all := notes.Notes(parts.Problem)
	if x.Want.Message != "" {
		all = append([]string{x.Want.Message}, all...)
	}
	x.Device.Message = strings.Join(all, "; ")
	return nil
}
