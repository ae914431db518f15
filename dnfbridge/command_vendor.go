// SPDX-License-Identifier: Apache-2.0

package dnfbridge

import (
	"context"
	"fmt"
	"strings"
)

// VendorPackages finds the packages of a vendor's driver for a kernel of the tree; see
// DNF5.VendorPackages.
func (c Command) VendorPackages(ctx context.Context, release string, v Vendor, fresh bool) (VendorListing, error) {
	found, err := c.vendorPackages(ctx, v, fresh)
	var l VendorListing
	if err == nil {
		l, err = vendorListing(found, release, v, newKernelFacts(ctx, release, c, c.fileLists))
	}
	if err != nil {
		return VendorListing{}, fmt.Errorf("cannot look for %s: %w", strings.Join(v.Kmods, ", "), err)
	}
	return l, nil
}

// vendorPackages lists what has one of the names.
func (c Command) vendorPackages(ctx context.Context, v Vendor, fresh bool) ([]offeredPackage, error) {
	var queries [][]string
	names, capabilities := v.names()
	if len(names) > 0 {
		queries = append(queries, names)
	}
	if len(capabilities) > 0 {
		queries = append(queries, []string{"--whatprovides=" + strings.Join(capabilities, ",")})
	}
	checked := make(map[string]bool)
	var all []offeredPackage
	for _, query := range queries {
		if fresh {
			query, fresh = append(query, "--refresh"), false // once is enough for both
		}
		found, err := c.query(ctx, query...)
		if err != nil {
			return nil, err
		}
		for _, of := range found {
			repo, _ := of["repo_id"].Value().(string)
			if _, known := checked[repo]; !known && of["is_installed"].Value() == false {
				check, err := c.option(ctx, repo, "gpgcheck")
				if err != nil {
					return nil, err
				}
				checked[repo] = check == "1"
			}
		}
		more, err := offeredPackages(found, checked)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// claimants lists the installed packages that say that they belong to a kernel.
func (c Command) claimants(ctx context.Context, release string) ([]member, error) {
	found, err := c.queryScope(ctx, "--installed", "--whatprovides="+ofAnyName(release))
	return members(found, unameVersion(release)), err
}

// imageOwners lists the installed packages that have the image of a kernel, and say that
// they belong to it.
func (c Command) imageOwners(ctx context.Context, release string) ([]member, error) {
	found, err := c.queryScope(ctx, "--installed", imagesOf(release)...)
	return members(found, unameVersion(release)), err
}
