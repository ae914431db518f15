// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"encoding/json"
	"io"

	"driverd/api"
	"driverd/daemon"
	"driverd/internal/guest"
	"driverd/reason"
)

// Status is the JSON of driverd status.
type Status struct {
	api.Manager
	Devices []api.Device `json:"devices"`
	Jobs    []api.Job    `json:"jobs"`
}

// ReadStatus asks the service for its status.
func ReadStatus(ctx context.Context, client *api.Client) (s Status, err error) {
	if s.Manager, err = client.Manager(ctx); err != nil {
		return s, err
	}
	if s.Devices, err = client.Devices(ctx); err != nil {
		return s, err
	}
	s.Jobs, err = client.Jobs(ctx)
	return s, err
}

// Inactive is what the service would say of itself behind a closed gate, for
// where it does not even run.
func Inactive(version string, closed error) Status {
	release, _ := guest.RunningKernel()
	return Status{Devices: []api.Device{}, Jobs: []api.Job{}, Manager: api.Manager{
		Version: version, KernelRelease: release, Platform: "unknown", Backend: "none", Mode: string(daemon.Auto),
		Status: string(daemon.Inactive), Reason: string(reason.Of(closed)), Message: closed.Error(), Counts: map[string]uint32{},
	}}
}

// WriteJSON writes v as driverd prints it for programs: indented, so that people
// can read it too.
func WriteJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
