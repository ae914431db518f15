// SPDX-License-Identifier: Apache-2.0

// Package api holds the names of driverd's D-Bus service, its description, and
// a client of it.
// The description itself, org.fedoraproject.Driverd1.xml, is also installed
// under /usr/share/dbus-1/interfaces; what the service serves is that file.
package api

import (
	_ "embed"
	"strings"
)

// The names of the service on the system bus.
const (
	BusName          = "org.fedoraproject.Driverd1"
	RootPath         = "/org/fedoraproject/Driverd1"
	DevicesPath      = RootPath + "/devices"
	ManagerInterface = "org.fedoraproject.Driverd1.Manager"
	DeviceInterface  = "org.fedoraproject.Driverd1.Device"
)

// ErrorNoSuchDevice is the name of the error of a call about a slot that has no
// device.
const ErrorNoSuchDevice = BusName + ".Error.NoSuchDevice"

// The actions of polkit(8) that guard the methods.
const (
	ActionRescan = "org.fedoraproject.driverd1.rescan"
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
