// SPDX-License-Identifier: Apache-2.0

// Package phase says, of a device, what it shows and what is to be done for it next:
// one pure function of what the device needs, what was tried, and what is under way.
package phase

import (
	"time"

	"driverd/plan"
	"driverd/reason"
)

// Act is what is to be done for a device next.
type Act int

// The acts.
const (
	Wait               Act = iota // for what is under way, for a moment, or for a change
	Install                       // its packages
	BringFirmware                 // the files that its driver has asked for in vain
	Load                          // its driver, or if it has one those of its children
	InstallForChildren            // the packages of its children
)

// Name is where a device stands on its way.
type Name string

// The phases of a device. ARCHITECTURE.md shows them as a table; a test keeps both
// equal.
const (
	Settling        Name = "settling"
	Decided         Name = "decided"
	Learning        Name = "learning"
	AwaitingBuiltIn Name = "awaiting built-in driver"
	Reinstalling    Name = "reinstalling"
	WaitingToLoad   Name = "waiting to load"
	LoadingDriver   Name = "loading"
	AwaitingDriver  Name = "awaiting driver"
	LoadFailed      Name = "load failed"
	WaitingToBring  Name = "waiting for firmware"
	Bringing        Name = "bringing firmware"
	FirmwareFailed  Name = "firmware missing"
	WaitingForJob   Name = "waiting for a job"
	Installing      Name = "installing"
	InstallFailed   Name = "install failed"
	Cancelled       Name = "cancelled"
)

// phases say what a device shows in a phase, empty if what the plan or the error
// says, and what leads out of it.
var phases = map[Name]struct {
	Shows plan.State
	Until string
}{
	Settling:        {plan.Pending, "a driver takes the device; 250 ms have passed since it came"},
	Decided:         {"", "the device, the modules, the repositories or the configuration are others"},
	Learning:        {plan.Pending, "the catalog is learned, or cannot be"},
	AwaitingBuiltIn: {plan.Loading, "a driver takes the device; 2 s have passed since it came: another driver is tried, if there is one"},
	Reinstalling:    {plan.Installing, "the job ends"},
	WaitingToLoad:   {plan.Pending, "it is its turn: 4 load steps run at once, and one for devices that are alike"},
	LoadingDriver:   {plan.Loading, "the load step ends, after 6 min at the latest"},
	AwaitingDriver:  {plan.Loading, "a driver takes the device; 2 s have passed since the load step: another driver is tried, if there is one"},
	LoadFailed:      {"", "the time of the next try, if the step was not started; the modules on the disk are others"},
	WaitingToBring:  {plan.Pending, "the job begins"},
	Bringing:        {plan.Installing, "the job ends: the driver is loaded anew"},
	FirmwareFailed:  {"", "the network or the repositories are others; the time of the next try, if there is one"},
	WaitingForJob:   {plan.Pending, "the job begins"},
	Installing:      {plan.Installing, "the job ends; all packages are unpacked: the driver is loaded early"},
	InstallFailed:   {"", "the time of the next try; what it failed for has changed"},
	Cancelled:       {plan.Blocked, "a rescan, or a request for the device"},
}

// Phase is where a device stands.
type Phase struct {
	Name    Name
	State   plan.State
	Reason  reason.Reason
	Message string
	Act     Act
	Wake    time.Time // when to look again; zero if only a change helps
}

// Until says what leads out of the phase.
func (p Phase) Until() string { return phases[p.Name].Until }

// Settled says whether nothing is under way for the device.
func (p Phase) Settled() bool {
	return p.State != plan.Pending && p.State != plan.Installing && p.State != plan.Loading
}

// in is a phase whose name says it all.
func in(name Name, act Act) Phase { return Phase{Name: name, State: phases[name].Shows, Act: act} }

// failed shows why something has failed.
func failed(name Name, err error, wake time.Time) Phase {
	why := reason.Of(err)
	if why == reason.None {
		why = reason.TransactionFailed
	}
	return Phase{Name: name, State: plan.StateOf(why), Reason: why, Message: err.Error(), Wake: wake}
}
