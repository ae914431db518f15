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

	NextKernel NextKernel

	Restful bool // there is nothing to do, and the configuration lets the service end then
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

	Functions []string // what it gives the guest: "net/enp1s0"
	Children  []hwdetect.Child
}

func (e *Engine) view() View {
	v := View{
		Version:  e.Version,
		Release:  e.Release,
		Platform: e.Platform,
		Backend:  e.Backend.Name(),
		Status:   Ready,
		Mode:     e.modeNow(),

		NextKernel: e.nextKernel.view(),
		Restful:    e.rest,
	}
	for _, j := range e.jobs.All() {
		if j.Active() {
			v.Status = Busy
		}
		v.Jobs = append(v.Jobs, jobView(j))
	}
	for _, d := range e.sorted() {
		if !d.shown.Settled() {
			v.Status = Busy
		}
		v.Devices = append(v.Devices, e.deviceView(d))
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

func (e *Engine) deviceView(d *device) Device {
	v := Device{
		Slot:     d.Slot,
		Modalias: d.Modalias,
		Vendor:   d.vendor,
		Product:  d.product,
		Class:    d.Class,
		Group:    d.want.Group,
		State:    d.shown.State,
		Reason:   d.shown.Reason,
		Message:  d.shown.Message,
		Driver:   d.Driver,
		Modules:  slices.Clone(d.want.Modules),
		Packages: slices.Clone(d.want.Packages),
		Timeline: slices.Clone(d.timeline),

		Functions: d.parts.Functions, // which are never changed
		Children:  d.parts.Children,
	}
	if j := e.jobs.Serving(d.stay); j != nil {
		v.Job = j.Number
	}
	return v
}
