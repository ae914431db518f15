// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"path/filepath"
	"slices"

	"driverd/hwdetect/kmod"
)

// Foreign returns those of the modules that a kernel of the guest under root has, and that no
// kernel there was built with.
func Foreign(root string, modules []string) ([]string, error) {
	dir := filepath.Join(root, "lib/modules")
	releases, err := kmod.Releases(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	own := make(map[string]bool)
	for _, release := range releases {
		lacks, err := kmod.Lacking(filepath.Join(dir, release), modules)
		if err != nil {
			return nil, err
		}
		built, err := kmod.OfBuild(filepath.Join(dir, release))
		if err != nil {
			return nil, err
		}
		for _, m := range modules {
			own[m] = own[m] || built[m]
			if !slices.Contains(lacks, m) && !slices.Contains(found, m) {
				found = append(found, m)
			}
		}
	}
	return slices.DeleteFunc(found, func(m string) bool { return own[m] }), nil
}
