// SPDX-License-Identifier: Apache-2.0

// Package api holds the names of driverd's D-Bus service, its description, and
// a client of it.
// The description itself, org.fedoraproject.Driverd1.xml, is also installed
// under /usr/share/dbus-1/interfaces; what the service serves is that file.
package api

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The names of the service on the system bus.
const (
	BusName          = "org.fedoraproject.Driverd1"
	RootPath         = "/org/fedoraproject/Driverd1"
	DevicesPath      = RootPath + "/devices"
	JobsPath         = RootPath + "/jobs"
	ManagerInterface = "org.fedoraproject.Driverd1.Manager"
	DeviceInterface  = "org.fedoraproject.Driverd1.Device"
	JobInterface     = "org.fedoraproject.Driverd1.Job"
)

// The names of the service's own errors.
const (
	ErrorNoSuchDevice  = BusName + ".Error.NoSuchDevice"  // the slot is empty
	ErrorNoCandidate   = BusName + ".Error.NoCandidate"   // no package that can be had serves it
	ErrorRefused       = BusName + ".Error.Refused"       // it can be done, and something says no
	ErrorBusy          = BusName + ".Error.Busy"          // not now
	ErrorBackendFailed = BusName + ".Error.BackendFailed" // the package manager cannot say or do it
)

// RestFile is there while the service is at rest: it has ended as there was nothing to do, and a
// new device or a question starts it again.
const RestFile = "/run/driverd/rest/asleep"

// The actions of polkit(8) that guard the methods.
const (
	ActionRescan    = "org.fedoraproject.driverd1.rescan"
	ActionInstall   = "org.fedoraproject.driverd1.install"
	ActionConfigure = "org.fedoraproject.driverd1.configure"
)

// XML describes the interfaces in the introspection format of the D-Bus
// specification, with documentation.
//
//go:embed org.fedoraproject.Driverd1.xml
var XML string

// DevicePath returns the object path of the device in a slot: an object path
// may hold neither ":" nor ".".
func DevicePath(slot string) string {
	return DevicesPath + "/" + strings.NewReplacer(":", "_", ".", "_").Replace(slot)
}

// slotOf returns the slot whose DevicePath is path.
func slotOf(path dbus.ObjectPath) string {
	name := strings.TrimPrefix(string(path), DevicesPath+"/")
	domain, rest, _ := strings.Cut(name, "_")
	bus, rest, _ := strings.Cut(rest, "_")
	device, function, _ := strings.Cut(rest, "_")
	return domain + ":" + bus + ":" + device + "." + function
}

// slotsOf returns the slots of several paths, in a list that is never nil.
func slotsOf(paths []dbus.ObjectPath) []string {
	slots := []string{}
	for _, path := range paths {
		slots = append(slots, slotOf(path))
	}
	return slots
}

// JobPath returns the object path of a job; "/" stands for none, number 0.
func JobPath(number uint64) string {
	if number == 0 {
		return "/"
	}
	return JobsPath + "/" + strconv.FormatUint(number, 10)
}
