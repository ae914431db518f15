// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"slices"

	"driverd/hwdetect"
	"driverd/plan"
	"driverd/reason"
)

// View is what the engine shows to the world at one moment. It shares nothing
// with the engine and is never changed.
type View struct {
	Version  string
	Release  string
	Platform string
	Backend  string
	Status   Status
	Reason   reason.Reason
	Message  string
	Mode     Mode
	Devices  []Device // in the order of their slots
	Jobs     []Job    // the oldest first
}

// Status is what the service as a whole is doing.
type Status string

// The statuses.
const (
	Ready  Status = "ready"
	Busy   Status = "busy"
	Paused Status = "paused" // nothing is done until something is put right

	// Inactive is the status where nothing can be done in this guest.
	Inactive Status = "inactive"
)

// Mode is how far the service may go by itself.
type Mode string

// The modes.
const (
	Auto    Mode = "auto"    // installs and loads what devices need
	Observe Mode = "observe" // says what it would do
)

// Device is one device as the world sees it. The fields are those of the
// D-Bus interface org.fedoraproject.Driverd1.Device.
type Device struct {
	Slot     hwdetect.Slot
	Modalias string
	Vendor   string // name, empty if unknown
	Product  string // name, empty if unknown
	Class    uint32
	Group    string
	State    plan.State
	Reason   reason.Reason
	Message  string
	Driver   string
	Modules  []string
	Packages []string // NEVRA
	Job      uint64   // the newest that serves it and has not ended, 0 if none does
	Timeline []Mark
}

func (e *Engine) view() View {
	v := View{
		Version:  e.Version,
		Release:  e.Release,
		Platform: e.Platform,
		Backend:  e.Backend.Name(),
		Status:   Ready,
		Mode:     e.modeNow(),
	}
	for _, j := range e.jobs {
		if j.state == JobRunning {
			v.Status = Busy
		}
		v.Jobs = append(v.Jobs, j.view())
	}
	for _, r := range e.sorted() {
		switch r.state {
		case plan.Pending, plan.Installing, plan.Loading:
			v.Status = Busy
		}
		v.Devices = append(v.Devices, r.view())
	}
	switch foreign := e.facts().Foreign(); {
	case e.Gate != nil:
		v.Status, v.Reason, v.Message = Inactive, reason.Of(e.Gate), e.Gate.Error()
	case foreign != nil:
		v.Status, v.Reason, v.Message = Inactive, reason.Of(foreign), foreign.Error()
	case e.blind != nil:
		v.Status, v.Message = Paused, "cannot see the hardware: "+e.blind.Error()
	case e.misconfigured != nil:
		v.Status, v.Message = Paused, e.misconfiguration()
	}
	return v
}

func (r *record) view() Device {
	d := Device{
		Slot:     r.device.Slot,
		Modalias: r.device.Modalias,
		Vendor:   r.vendor,
		Product:  r.product,
		Class:    r.device.Class,
		Group:    r.decision.Group,
		State:    r.state,
		Reason:   r.reason,
		Message:  r.message,
		Driver:   r.device.Driver,
		Modules:  slices.Clone(r.decision.Modules),
		Packages: slices.Clone(r.decision.Packages),
		Timeline: slices.Clone(r.timeline),
	}
	if r.job != nil {
		d.Job = r.job.number
	}
	return d
}
