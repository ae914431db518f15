// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"time"

	"github.com/godbus/dbus/v5"
)

// planTime is for Plan, which waits for the package manager to solve the
// dependencies, and to fetch what it needs for that.
const planTime = 5 * time.Minute

// Plan is what Install would do.
type Plan struct {
	Packages     []Package `json:"packages"`
	DownloadSize uint64    `json:"download_size"` // bytes
	InstallSize  uint64    `json:"install_size"`  // bytes
	Devices      []string  `json:"devices"`       // slots
}

// Plan asks what Install would do for the selectors. No selectors stand for all
// that the devices of the guest need. The errors are those of Install.
func (c *Client) Plan(ctx context.Context, selectors []string) (Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	p, err := ask[map[string]dbus.Variant](ctx, c, ManagerInterface+".Plan", list(selectors), map[string]dbus.Variant{})
	if err != nil {
		return Plan{}, err
	}
	return newPlan(p)
}

func newPlan(from map[string]dbus.Variant) (p Plan, err error) {
	p = Plan{Packages: []Package{}} // lists in JSON, never null
	var devices []dbus.ObjectPath
	r := reader{from: from}
	r.list("Packages", func(r *reader) { p.Packages = append(p.Packages, newPackage(r)) })
	r.read("DownloadSize", &p.DownloadSize)
	r.read("InstallSize", &p.InstallSize)
	r.read("Devices", &devices)
	p.Devices = slotsOf(devices)
	return p, r.err
}
