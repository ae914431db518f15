// SPDX-License-Identifier: Apache-2.0

package api

import "github.com/godbus/dbus/v5"

// Manager is the service as a whole; see org.fedoraproject.Driverd1.xml for
// what the fields mean, here and in the other types.
type Manager struct {
	Version       string            `json:"version"`
	KernelRelease string            `json:"kernel_release"`
	Platform      string            `json:"platform"`
	Backend       string            `json:"backend"`
	Status        string            `json:"status"`
	Reason        string            `json:"reason"`
	Message       string            `json:"message"`
	Mode          string            `json:"mode"`
	Counts        map[string]uint32 `json:"counts"`

	NextKernel *NextKernel `json:"next_kernel,omitempty"` // nil if the next boot brings the running one
}

// NextKernel is the kernel that the next boot brings.
type NextKernel struct {
	Release  string   `json:"release"`
	Ready    bool     `json:"ready"`
	Message  string   `json:"message"`
	Packages []string `json:"packages"`
}

// Device is one PCI device.
type Device struct {
	Slot     string   `json:"slot"`
	Modalias string   `json:"modalias"`
	Vendor   string   `json:"vendor"`
	Product  string   `json:"product"`
	Class    uint32   `json:"class"`
	Group    string   `json:"group"`
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	Message  string   `json:"message"`
	Driver   string   `json:"driver"`
	Modules  []string `json:"modules"`
	Packages []string `json:"packages"`
	Job      string   `json:"job"` // path of the one that works on it, empty if none does
	Timeline []Step   `json:"timeline"`

	Functions []string `json:"functions"` // "net/enp1s0"
	Children  []Child  `json:"children"`
}

// Child is a device below a PCI device on another bus.
type Child struct {
	Path     string `json:"path"` // below the slot
	Modalias string `json:"modalias"`
	Driver   string `json:"driver"` // empty if none is bound
}

// Step is one step of a device's timeline.
type Step struct {
	Name string `json:"step"`
	Time uint64 `json:"time"` // realtime microseconds
}

func newManager(from map[string]dbus.Variant) (m Manager, err error) {
	r := reader{from: from}
	r.read("Version", &m.Version)
	r.read("KernelRelease", &m.KernelRelease)
	r.read("Platform", &m.Platform)
	r.read("Backend", &m.Backend)
	r.read("Status", &m.Status)
	r.read("Reason", &m.Reason)
	r.read("Message", &m.Message)
	r.read("Mode", &m.Mode)
	r.read("Counts", &m.Counts)
	r.dictionary("NextKernel", func(r *reader) {
		m.NextKernel = &NextKernel{Packages: []string{}} // a list in JSON, never null
		r.read("Release", &m.NextKernel.Release)
		r.read("Ready", &m.NextKernel.Ready)
		r.read("Message", &m.NextKernel.Message)
		r.read("Packages", &m.NextKernel.Packages)
	})
	return m, r.err
}

func newDevice(from map[string]dbus.Variant) (d Device, err error) {
	d = Device{Modules: []string{}, Packages: []string{}, Timeline: []Step{}, Functions: []string{}, Children: []Child{}} // lists in JSON, never null
	r := reader{from: from}
	r.read("Slot", &d.Slot)
	r.read("Modalias", &d.Modalias)
	r.read("Vendor", &d.Vendor)
	r.read("Product", &d.Product)
	r.read("Class", &d.Class)
	r.read("Group", &d.Group)
	r.read("State", &d.State)
	r.read("Reason", &d.Reason)
	r.read("Message", &d.Message)
	r.read("Driver", &d.Driver)
	r.read("Modules", &d.Modules)
	r.read("Packages", &d.Packages)
	r.path("Job", &d.Job)
	r.read("Timeline", &d.Timeline)
	r.read("Functions", &d.Functions)
	r.read("Children", &d.Children)
	return d, r.err
}
