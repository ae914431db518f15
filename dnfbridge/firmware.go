// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Firmware finds which of the packages may be installed beside a kernel, and from
// which repositories: of the known ones what has the kernel's vendor; of the others
// what holds firmware and its papers, and nothing else. To know files, dnf fetches
// lists that are larger than all of its other metadata.
func (d *DNF5) Firmware(ctx context.Context, kernel string, known, others []string) (map[string][]string, error) {
	from := make(map[string][]string)
	if len(known) > 0 {
		has, err := d.installed(ctx, []string{kernel})
		if err != nil {
			return nil, err
		}
		vendor := has.builds[kernel].vendor
		err = d.named(ctx, map[string]any{}, "vendor", known, func(nevra, repo string, of dbus.Variant) {
			if name, _ := of.Value().(string); vendorOf(name) == vendor {
				from[nevra] = append(from[nevra], repo)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if len(others) > 0 {
		lists := map[string]any{"config": map[string]string{"optional_metadata_types": "filelists"}}
		err := d.named(ctx, lists, "files", others, func(nevra, repo string, holds dbus.Variant) {
			if files, ok := holds.Value().([]string); ok && onlyFirmware(files) {
				from[nevra] = append(from[nevra], repo)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return from, nil
}

// named tells of the packages that repositories have by these NEVRAs, with an
// attribute of each.
func (d *DNF5) named(ctx context.Context, settings map[string]any, attr string, nevras []string, tell func(nevra, repo string, value dbus.Variant)) error {
	s, err := d.open(ctx, newTracker(nil), settings, false)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.list(ctx, map[string]any{
		"scope": "available", "patterns": nevras, "package_attrs": []string{"nevra", "repo_id", attr},
		"icase": false, "with_provides": false, "with_filenames": false, "with_binaries": false, "with_src": false,
	})
	if err != nil {
		return fmt.Errorf("cannot look for %s: %w", strings.Join(nevras, ", "), s.track.explain(err))
	}
	for _, p := range found {
		nevra, _ := p["nevra"].Value().(string)
		repo, _ := p["repo_id"].Value().(string)
		if slices.Contains(nevras, nevra) {
			tell(nevra, repo, p[attr])
		}
	}
	return nil
}

// firmwareFolders are where packages keep firmware, and its papers.
var firmwareFolders = []string{"/usr/lib/firmware/", "/lib/firmware/", "/usr/share/licenses/", "/usr/share/doc/"}

// onlyFirmware says whether a package has firmware, and nothing that runs.
func onlyFirmware(files []string) bool {
	has := false
	for _, file := range files {
		in := slices.IndexFunc(firmwareFolders, func(dir string) bool { return strings.HasPrefix(file+"/", dir) })
		if in < 0 || strings.Contains(file, "/../") {
			return false
		}
		has = has || in < 2
	}
	return has
}
