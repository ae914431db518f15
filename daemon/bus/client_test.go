// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"driverd/api"
	"driverd/daemon"
)

// What goes into the bus at one end comes out at the other.
func TestClient(t *testing.T) {
	t.Parallel()
	s := allowed(t)
	v := working(7)
	v.Jobs = append(v.Jobs, daemon.Job{Number: 10, State: daemon.JobFailed, Phase: daemon.PhaseLoad, Reason: "probe-failed", Message: "no"})
	s.Publish(v)
	client, err := api.Connect(t.Context(), s.bus.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	jobs, err := client.Jobs(t.Context())
	running := api.Job{
		Path: string(job), State: api.JobRunning, Phase: "download", Progress: 0.25, BytesDone: 1, BytesTotal: 4,
		Packages: []string{"sriov-1"}, Devices: []string{"0000:01:00.0"},
	}
	failed := api.Job{
		Path: api.JobPath(10), State: api.JobFailed, Phase: "load", Packages: []string{}, Devices: []string{},
		Reason: "probe-failed", Message: "no",
	}
	if diff := cmp.Diff([]api.Job{running, failed}, jobs); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if one, err := client.Job(t.Context(), running.Path); err != nil || !cmp.Equal(one, running) {
		t.Errorf("%+v, %v", one, err)
	}
	devices, err := client.Devices(t.Context())
	if err != nil || len(devices) != 1 || devices[0].Job != running.Path {
		t.Errorf("%+v, %v", devices, err)
	}
	v.NextKernel = daemon.NextKernel{Release: "7.3", Message: "lacks \xff", Packages: []string{"sriov-2"}}
	s.Publish(v)
	manager, err := client.Manager(t.Context())
	wantNext := &api.NextKernel{Release: "7.3", Message: "lacks \uFFFD", Packages: []string{"sriov-2"}}
	if diff := cmp.Diff(wantNext, manager.NextKernel); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	plan, err := client.Plan(t.Context(), nil)
	wantPlan := api.Plan{
		Packages:     []api.Package{{NEVRA: "sriov-1", Repository: "updates", Group: "sriov", DownloadSize: 1, InstallSize: 2}},
		DownloadSize: 1, InstallSize: 2, Devices: []string{"0000:01:00.0"},
	}
	if diff := cmp.Diff(wantPlan, plan); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	entries, err := client.History(t.Context())
	wantEntries := []api.Entry{{
		Time: 9, Began: 5, Action: "install", Origin: "uid:0", Job: string(job), Packages: []string{"sriov-1"},
		Slots: []string{"0000:01:00.0"}, State: "failed", Reason: "no-space", Message: "\uFFFD",
	}}
	if diff := cmp.Diff(wantEntries, entries); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	path, err := client.Install(t.Context(), nil, api.InstallOptions{DownloadOnly: true})
	if err != nil || path != running.Path {
		t.Errorf("%s, %v", path, err)
	}
	if err := errors.Join(client.SetMode(t.Context(), "observe"), client.Cancel(t.Context(), path)); err != nil {
		t.Error(err)
	}
	wantCalls := []string{"Plan []", "History", "Install [] true " + me, "SetMode observe " + me, "Cancel 7 " + me}
	if diff := cmp.Diff(wantCalls, s.engine.calls()); diff != "" {
		t.Error(diff)
	}

	for kind, want := range map[error]error{
		daemon.ErrNotUnderstood: api.ErrInvalid, daemon.ErrNoSuchDevice: api.ErrNoSuchDevice, daemon.ErrNoSuchJob: api.ErrNoSuchJob,
		daemon.ErrNoCandidate: api.ErrNoCandidate, daemon.ErrRefused: api.ErrRefused, daemon.ErrBusy: api.ErrBusy,
		daemon.ErrBackendFailed: api.ErrBackendFailed,
	} {
		s.engine.fails(fmt.Errorf("%w: as told", kind))
		if _, err := client.Install(t.Context(), nil, api.InstallOptions{}); !errors.Is(err, want) || err.Error() != kind.Error()+": as told" {
			t.Errorf("%v became %v", kind, err)
		}
	}
	for _, path := range []string{api.JobPath(8), "nonsense", ""} {
		_, err := client.Job(t.Context(), path)
		if cancelled := client.Cancel(t.Context(), path); !errors.Is(err, api.ErrNoSuchJob) || !errors.Is(cancelled, api.ErrNoSuchJob) {
			t.Errorf("job %q: %v, %v", path, err, cancelled)
		}
	}
}
