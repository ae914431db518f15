// SPDX-License-Identifier: Apache-2.0

// Package jobs holds the pieces of work that the package manager is to do, and those
// that it has done: which is at work, which wait for it, which devices each serves,
// and what of that the world sees. It does no work itself.
package jobs

import (
	"slices"
	"strings"
	"time"

	"driverd/daemon/ledger"
	"driverd/hwdetect"
	"driverd/reason"
)

// State is where a job stands. All but Running are final.
type State string

// The states of a job.
const (
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Phase is what a job is at.
type Phase string

// The phases, in their order.
const (
	Waiting  Phase = "waiting"  // for another job to end
	Resolve  Phase = "resolve"  // dependencies are solved
	Download Phase = "download" // packages are fetched
	Install  Phase = "install"  // the rpm transaction
	Load     Phase = "load"     // devices are to get their drivers
)

// Kind is what a job is for.
type Kind int

// The kinds of jobs.
const (
	ForDevices    Kind = iota // packages, or firmware, for devices that wait for them
	Requested                 // what somebody asked for
	DownloadOnly              // what somebody asked for, and is not to be installed
	Interrupted               // packages that an earlier boot has left half installed
	ForNextKernel             // packages for the kernel that the next boot brings
)

// Hotplug is the origin of what the service does by itself.
const Hotplug = "hotplug"

// Status is a job as the world sees it. The fields are those of the D-Bus
// interface org.fedoraproject.Driverd1.Job.
type Status struct {
	Number     uint64
	State      State
	Phase      Phase
	Progress   float64
	BytesDone  int64
	BytesTotal int64
	Packages   []string // NEVRA
	Devices    []hwdetect.Slot
	Reason     reason.Reason
	Message    string
}

// Files are the firmware that a job is to bring.
type Files struct {
	Named []string // by the drivers that it installs
	Asked []string // for by the kernel, which has not found them, or by somebody
}

// Job is one piece of work: a transaction, and the drivers that are loaded after it.
type Job struct {
	Status
	Kind      Kind
	Origin    string   // Hotplug, or who asked
	Selectors []string // what somebody asked for, as it was said
	Wanted    []string // packages that it is to bring, those of firmware apart
	Files     Files
	Firmware  []string // of its packages, those that hold the files
	Without   string   // what firmware it goes without, and why
	Unpacked  []string // of its packages, those whose files are on the disk
	Loads     bool     // drivers have been loaded for it

	Tries []ledger.Key // that it has begun: it alone ends them

	Began, Ended time.Time

	stays     []hwdetect.Stay
	serves    map[hwdetect.Stay]bool
	stop      func(error) // ends the work of the backend; nil before that has begun
	committed bool        // the rpm transaction may have begun
}

// Serve makes a device one that the job is for.
func (j *Job) Serve(stay hwdetect.Stay) {
	if j.serves[stay] {
		return
	}
	if j.serves == nil {
		j.serves = make(map[hwdetect.Stay]bool)
	}
	j.serves[stay] = true
	j.stays = append(j.stays, stay)
	if !slices.Contains(j.Devices, stay.Slot) {
		j.Devices = append(j.Devices, stay.Slot)
		slices.SortFunc(j.Devices, hwdetect.Slot.Compare)
	}
}

// Stays are the devices that the job is for.
func (j *Job) Stays() []hwdetect.Stay { return j.stays }

// Serves says whether the job is for a device.
func (j *Job) Serves(stay hwdetect.Stay) bool { return j.serves[stay] }

// Active says whether the job has not ended.
func (j *Job) Active() bool { return j.State == Running }

// Idle says whether there was nothing to do for the job.
func (j *Job) Idle() bool { return !j.committed && j.BytesTotal == 0 && !j.Loads }

// installed is how far a job is that has only to load drivers.
const installed = 0.95

// Follow notes how far the transaction is. One that is resolved anew after its last
// moment has found the package database locked: it may be cancelled again.
func (j *Job) Follow(at Phase, done, total int64, fraction float64) {
	if at == Resolve {
		j.committed = false
	}
	j.Phase, j.BytesDone, j.BytesTotal = at, done, total
	j.Progress = max(j.Progress, installed*fraction)
}

// Loading notes that the transaction went well, and that only drivers are missing.
func (j *Job) Loading() { j.Phase, j.Progress = Load, installed }

// Commit notes that the last moment has passed at which the job can be cancelled.
func (j *Job) Commit() { j.committed = true }

// Summary says what became of the packages of a job that went well.
func (j *Job) Summary() string {
	packages := strings.Join(j.Packages, ", ")
	switch {
	case j.Kind == Interrupted && j.Idle():
		return packages + ": nothing of it is installed, and nothing to be installed again"
	case j.Kind == Interrupted:
		return packages + " installed again"
	case j.Kind == DownloadOnly && !j.Idle():
		return packages + " downloaded"
	case j.Idle() && len(j.Packages) > 1:
		return packages + " are installed already"
	case j.Idle():
		return packages + " is installed already"
	case j.Kind == ForNextKernel:
		return packages + " installed for the next boot"
	}
	return packages + " installed"
}
