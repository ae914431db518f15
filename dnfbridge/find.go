// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// withFileLists are the settings of a session that knows which package has which file.
// They are of the session's configuration: its option of the same name does nothing.
var withFileLists = map[string]any{"config": map[string]string{"optional_metadata_types": "filelists"}}

// Find lists the newest build of every package, installed or available, that has
// one of the names, or one of the files, which are absolute paths. They are
// sorted by NEVRA. To know files, dnf fetches lists that are larger than all of
// its other metadata. With fresh, the metadata is renewed first.
//
// The errors are those of KernelPackages.
func (d *DNF5) Find(ctx context.Context, what []string, fresh bool) ([]Package, error) {
	settings := map[string]any{}
	if slices.ContainsFunc(what, func(w string) bool { return strings.HasPrefix(w, "/") }) {
		settings = withFileLists
	}
	packages, err := d.query(ctx, fresh, settings, func(s *session) ([]Package, error) {
		return s.packages(ctx, map[string]any{
			"patterns": what, "latest-limit": int32(1),
			"icase": false, "with_provides": false, "with_binaries": false, "with_src": false,
		})
	})
	if err != nil {
		return packages, fmt.Errorf("cannot look for %s: %w", strings.Join(what, ", "), err)
	}
	return packages, nil
}
