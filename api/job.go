// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/godbus/dbus/v5"
)

// The states of a job. All but running are final.
const (
	JobRunning   = "running"
	JobDone      = "done"
	JobFailed    = "failed"
	JobCancelled = "cancelled"
)

// Job is one transaction, asked for or begun by the service itself.
type Job struct {
	Path       string   `json:"path"`
	State      string   `json:"state"`
	Phase      string   `json:"phase"`
	Progress   float64  `json:"progress"` // 0 to 1
	BytesDone  uint64   `json:"bytes_done"`
	BytesTotal uint64   `json:"bytes_total"`
	Packages   []string `json:"packages"`
	Devices    []string `json:"devices"` // slots
	Reason     string   `json:"reason"`
	Message    string   `json:"message"`
}

// InstallOptions are what Install may be told beside the selectors.
type InstallOptions struct {
	DownloadOnly bool
}

// Install has the service install, and load, what the selectors name, and
// returns the path of the job that does it. No selectors stand for all that the
// devices of the guest need. The error is ErrNotAuthorized if polkit does not
// let the caller, ErrInvalid, ErrNoSuchDevice, ErrNoCandidate, ErrRefused,
// ErrBusy, or ErrBackendFailed.
func (c *Client) Install(ctx context.Context, selectors []string, o InstallOptions) (job string, err error) {
	options := map[string]dbus.Variant{}
	if o.DownloadOnly {
		options["download-only"] = dbus.MakeVariant(true)
	}
	path, err := ask[dbus.ObjectPath](ctx, c, ManagerInterface+".Install", list(selectors), options)
	return string(path), err
}

// Job returns the job at path. The error is ErrNoSuchJob if there is none, as
// when it ended a while ago.
func (c *Client) Job(ctx context.Context, path string) (Job, error) {
	if !dbus.ObjectPath(path).IsValid() {
		return Job{}, &callError{ErrNoSuchJob, fmt.Sprintf("there is no job %q", path)}
	}
	all, err := askObject[map[string]dbus.Variant](ctx, c, dbus.ObjectPath(path), propertiesInterface+".GetAll", JobInterface)
	if err != nil {
		return Job{}, err
	}
	return newJob(dbus.ObjectPath(path), all)
}

// Follow yields the job at path at once, and whenever something may have changed,
// until it has ended. An error, as Job's and Watch's are, is the last that it
// yields; it is ErrNoService if the connection ends before the job.
func (c *Client) Follow(ctx context.Context, path string) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		kicks, err := c.Watch(ctx) // before the first look, so that nothing falls between
		for err == nil {
			var job Job
			if job, err = c.Job(ctx, path); err != nil || !yield(job, nil) || job.State != JobRunning {
				break
			}
			if _, ok := <-kicks; !ok {
				err = cmp.Or(context.Cause(ctx), ErrNoService)
			}
		}
		if err != nil {
			yield(Job{}, err)
		}
	}
}

// Jobs returns all jobs that the service shows, the oldest first.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	objects, err := c.objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list the jobs: %w", err)
	}
	jobs := []Job{}
	for path, interfaces := range objects {
		properties, ok := interfaces[JobInterface]
		if !ok {
			continue
		}
		job, err := newJob(path, properties)
		if err != nil {
			return nil, fmt.Errorf("cannot list the jobs: %s: %w", path, err)
		}
		jobs = append(jobs, job)
	}
	slices.SortFunc(jobs, func(a, b Job) int {
		return cmp.Or(cmp.Compare(len(a.Path), len(b.Path)), cmp.Compare(a.Path, b.Path)) // as numbers
	})
	return jobs, nil
}

// Cancel cancels the job at path. The error is ErrNotAuthorized if polkit does
// not let the caller, ErrNoSuchJob, ErrBusy if it cannot be stopped any more,
// ErrRefused if it has ended.
func (c *Client) Cancel(ctx context.Context, path string) error {
	if !dbus.ObjectPath(path).IsValid() {
		return &callError{ErrNoSuchJob, fmt.Sprintf("there is no job %q", path)}
	}
	_, err := c.call(ctx, dbus.ObjectPath(path), JobInterface+".Cancel", map[string]dbus.Variant{})
	return err
}

func newJob(path dbus.ObjectPath, from map[string]dbus.Variant) (j Job, err error) {
	j = Job{Path: string(path), Packages: []string{}} // lists in JSON, never null
	var devices []dbus.ObjectPath
	r := reader{from: from}
	r.read("State", &j.State)
	r.read("Phase", &j.Phase)
	r.read("Progress", &j.Progress)
	r.read("BytesDone", &j.BytesDone)
	r.read("BytesTotal", &j.BytesTotal)
	r.read("Packages", &j.Packages)
	r.read("Devices", &devices)
	r.read("Reason", &j.Reason)
	r.read("Message", &j.Message)
	j.Devices = slotsOf(devices)
	return j, r.err
}

// list is selectors as the bus takes them: a nil slice has no type there.
func list(selectors []string) []string { return append([]string{}, selectors...) }
