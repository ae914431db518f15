// SPDX-License-Identifier: Apache-2.0

package api

import "github.com/godbus/dbus/v5"

// Explanation is what Manager.Explain returns.
type Explanation struct {
	What          string    `json:"what"`
	Modalias      string    `json:"modalias"`
	Vendor        string    `json:"vendor"`
	Product       string    `json:"product"`
	KernelRelease string    `json:"kernel_release"`
	Claims        []Claim   `json:"claims"`
	Packages      []Package `json:"packages"`
	Firmware      []File    `json:"firmware"`       // that its driver may ask for
	Vendors       []Vendor  `json:"vendors"`        // drivers from outside the kernel's build that are for it
	Rule          *Rule     `json:"rule,omitempty"` // if one matches
	Action        string    `json:"action"`
	Group         string    `json:"group"`
	State         string    `json:"state"`
	Reason        string    `json:"reason"`
	Message       string    `json:"message"`
	Device        *Device   `json:"device,omitempty"` // of a slot only
	Attempts      []Attempt `json:"attempts,omitempty"`
	History       []Entry   `json:"history,omitempty"` // of the slot, newest first

	// KernelLog is not the service's, which cannot read it, but what its client can.
	KernelLog []string `json:"kernel_log,omitempty"`
}

// Claim is one alias that matches the device.
type Claim struct {
	Alias   string `json:"alias"`
	Source  string `json:"source"`
	Module  string `json:"module"`
	Package string `json:"package"`
}

// Package is one package of a kernel build.
type Package struct {
	NEVRA        string `json:"nevra"`
	Repository   string `json:"repository"`
	Group        string `json:"group"`
	Installed    bool   `json:"installed"`
	DownloadSize uint64 `json:"download_size"` // bytes
	InstallSize  uint64 `json:"install_size"`  // bytes
}

// File is a file of firmware.
type File struct {
	File    string `json:"file"` // below /lib/firmware
	Lacking bool   `json:"lacking"`
	Package string `json:"package"` // name of what has it, empty if it is not known or not lacking
}

// Vendor is a driver from outside the kernel's build.
type Vendor struct {
	Name    string   `json:"name"`
	Enabled bool     `json:"enabled"`
	Texts   []string `json:"texts"` // what it is, and what there is of it, a sentence each
}

// Rule is the rule of the policy that decides about the device.
type Rule struct {
	Action string `json:"action"` // "allow" or "deny"
	File   string `json:"file"`
	Line   uint32 `json:"line"`
}

// Attempt is what was last tried for the device.
type Attempt struct {
	Step    string `json:"step"`
	Job     string `json:"job"` // path that it has or had, empty if it was none
	Running bool   `json:"running"`
	Ended   uint64 `json:"ended"` // realtime microseconds, 0 if unknown
	Tries   uint32 `json:"tries"`
	Error   string `json:"error"`
	Retry   uint64 `json:"retry"` // realtime microseconds, 0 for never
}

// NewExplanation reads the dictionary that Manager.Explain returns.
func NewExplanation(from map[string]dbus.Variant) (Explanation, error) {
	x := Explanation{Claims: []Claim{}, Packages: []Package{}, Firmware: []File{}, Vendors: []Vendor{}} // lists in JSON, never null
	r := reader{from: from}
	r.read("What", &x.What)
	r.read("Modalias", &x.Modalias)
	r.read("Vendor", &x.Vendor)
	r.read("Product", &x.Product)
	r.read("KernelRelease", &x.KernelRelease)
	r.list("Claims", func(r *reader) {
		var c Claim
		r.read("Alias", &c.Alias)
		r.read("Source", &c.Source)
		r.read("Module", &c.Module)
		r.read("Package", &c.Package)
		x.Claims = append(x.Claims, c)
	})
	r.list("Packages", func(r *reader) { x.Packages = append(x.Packages, newPackage(r)) })
	r.list("Firmware", func(r *reader) {
		var f File
		r.read("File", &f.File)
		r.read("Lacking", &f.Lacking)
		r.read("Package", &f.Package)
		x.Firmware = append(x.Firmware, f)
	})
	r.list("Vendors", func(r *reader) {
		v := Vendor{Texts: []string{}}
		r.read("Name", &v.Name)
		r.read("Enabled", &v.Enabled)
		r.read("Texts", &v.Texts)
		x.Vendors = append(x.Vendors, v)
	})
	r.dictionary("Rule", func(r *reader) {
		x.Rule = &Rule{}
		r.read("Action", &x.Rule.Action)
		r.read("File", &x.Rule.File)
		r.read("Line", &x.Rule.Line)
	})
	r.read("Action", &x.Action)
	r.read("Group", &x.Group)
	r.read("State", &x.State)
	r.read("Reason", &x.Reason)
	r.read("Message", &x.Message)
	r.list("Attempts", func(r *reader) {
		var a Attempt
		r.read("Step", &a.Step)
		r.path("Job", &a.Job)
		r.read("Running", &a.Running)
		r.read("Ended", &a.Ended)
		r.read("Tries", &a.Tries)
		r.read("Error", &a.Error)
		r.read("Retry", &a.Retry)
		x.Attempts = append(x.Attempts, a)
	})
	r.list("History", func(r *reader) { x.History = append(x.History, newEntry(r)) })
	r.dictionary("Device", func(r *reader) {
		device, err := newDevice(r.from)
		x.Device, r.err = &device, err
	})
	return x, r.err
}

func newPackage(r *reader) (p Package) {
	r.read("NEVRA", &p.NEVRA)
	r.read("Repository", &p.Repository)
	r.read("Group", &p.Group)
	r.read("Installed", &p.Installed)
	r.read("DownloadSize", &p.DownloadSize)
	r.read("InstallSize", &p.InstallSize)
	return p
}
