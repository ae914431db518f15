// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"slices"
	"strings"

	"driverd/kernelbuild"
)

// silent returns the NEVRAs of packages of a build that could be installed, if none of
// these says which modules it holds, or which devices they drive.
func silent(packages []Package) []string {
	var nevras []string
	for _, p := range packages {
		switch {
		case p.Installed || p.RepoID == "":
		case slices.ContainsFunc(p.Provides, func(c string) bool { return strings.HasPrefix(c, "kmod(") || strings.HasPrefix(c, "modalias(") }):
			return nil
		default:
			nevras = append(nevras, p.NEVRA)
		}
	}
	return nevras
}

// nameModules adds to the Provides of packages the kmod() that their files stand for.
func nameModules(packages []Package, files map[string][]string) {
	for i, p := range packages {
		for _, file := range files[p.NEVRA] {
			if module := kernelbuild.ModuleOfFile(file); module != "" {
				packages[i].Provides = append(packages[i].Provides, "kmod("+module+".ko)")
			}
		}
		slices.Sort(packages[i].Provides)
	}
}

// fileLists returns the lists of files of packages, by their NEVRAs. dnf fetches lists
// for it that are larger than all of its other metadata.
func (d *DNF5) fileLists(ctx context.Context, nevras []string) (map[string][]string, error) {
	track := newTracker(nil)
	s, err := d.open(ctx, track, withFileLists, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	found, err := s.list(ctx, map[string]any{
		"patterns": nevras, "scope": "available", "package_attrs": []string{"nevra", "files"},
	})
	if err != nil {
		return nil, track.explain(err)
	}
	files := make(map[string][]string)
	for _, attrs := range found {
		nevra, _ := attrs["nevra"].Value().(string)
		files[nevra], _ = attrs["files"].Value().([]string)
	}
	return files, track.unreachable()
}
