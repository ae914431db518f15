// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/api"
	"driverd/daemon"
)

const (
	rootPath            = dbus.ObjectPath(api.RootPath)
	introspectable      = "org.freedesktop.DBus.Introspectable"
	propertiesInterface = "org.freedesktop.DBus.Properties"
	peerInterface       = "org.freedesktop.DBus.Peer"

	errorFailed           = "org.freedesktop.DBus.Error.Failed"
	errorInvalidArgs      = "org.freedesktop.DBus.Error.InvalidArgs"
	errorUnknownObject    = "org.freedesktop.DBus.Error.UnknownObject"
	errorUnknownInterface = "org.freedesktop.DBus.Error.UnknownInterface"
	errorUnknownMethod    = "org.freedesktop.DBus.Error.UnknownMethod"
	errorUnknownProperty  = "org.freedesktop.DBus.Error.UnknownProperty"
	errorPropertyReadOnly = "org.freedesktop.DBus.Error.PropertyReadOnly"
	errorAccessDenied     = "org.freedesktop.DBus.Error.AccessDenied"
	errorInteractive      = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
)

// noPrivilege stands for a method that everybody may call.
const noPrivilege = "-"

// actions is the one place that says what a caller must be allowed to do to
// call which method of our interfaces. A method that is not in it is denied.
var actions = map[string]map[string]string{
	api.ManagerInterface: {
		"Explain": noPrivilege,
		"History": noPrivilege,
		"Install": api.ActionInstall,
		"Plan":    noPrivilege,
		"Rescan":  api.ActionRescan,
		"SetMode": api.ActionConfigure,
	},
	api.JobInterface: {
		"Cancel": api.ActionInstall,
	},
}

// methods are all methods of all interfaces.
var methods = map[string]map[string]method{
	peerInterface: { // of every path
		"Ping":         {answer: (*Server).ping},
		"GetMachineId": {answer: (*Server).machineID},
	},
	introspectable: {
		"Introspect": {answer: (*Server).introspect},
	},
	propertiesInterface: {
		"Get":    {in: "ss", answer: (*Server).get},
		"GetAll": {in: "s", answer: (*Server).getAll},
		"Set":    {in: "ssv", answer: (*Server).set},
	},
	objectManager: {
		"GetManagedObjects": {answer: (*Server).getManagedObjects},
	},
	api.ManagerInterface: {
		"Explain": {in: "sa{sv}", answer: (*Server).explain},
		"History": {in: "a{sv}", answer: (*Server).history},
		"Install": {in: "asa{sv}", answer: (*Server).install},
		"Plan":    {in: "asa{sv}", answer: (*Server).plan},
		"Rescan":  {in: "a{sv}", answer: (*Server).rescan},
		"SetMode": {in: "sa{sv}", answer: (*Server).setMode},
	},
	api.DeviceInterface: {},
	api.JobInterface: {
		"Cancel": {in: "a{sv}", answer: (*Server).cancel},
	},
}

func (s *Server) introspect(c call) ([]any, *dbus.Error) {
	return []any{s.current().introspect(c.path)}, nil
}

func (s *Server) ping(call) ([]any, *dbus.Error) { return nil, nil }

// machineID answers with machine-id(5).
func (s *Server) machineID(call) ([]any, *dbus.Error) {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return nil, refuse(errorFailed, "cannot tell the id of this machine: %v", err)
	}
	return []any{text(strings.TrimSpace(string(id)))}, nil
}

func (s *Server) getManagedObjects(call) ([]any, *dbus.Error) {
	return []any{s.shown.Load().objects()}, nil
}

func (s *Server) rescan(c call) ([]any, *dbus.Error) {
	if refusal := noOptions(c.body[0]); refusal != nil {
		return nil, refusal
	}
	if err := s.engine.Rescan(s.ctx); err != nil {
		return nil, answerTo(fmt.Errorf("cannot look again: %w", err))
	}
	return nil, nil
}

func (s *Server) get(c call) ([]any, *dbus.Error) {
	all, refusal := s.properties(c)
	if refusal != nil {
		return nil, refusal
	}
	value, ok := all[c.body[1].(string)]
	if !ok {
		return nil, refuse(errorUnknownProperty, "%s has no property %.200q", c.body[0], c.body[1])
	}
	return []any{value}, nil
}

func (s *Server) getAll(c call) ([]any, *dbus.Error) {
	all, refusal := s.properties(c)
	if refusal != nil {
		return nil, refusal
	}
	return []any{all}, nil
}

func (s *Server) set(c call) ([]any, *dbus.Error) {
	if _, refusal := s.get(c); refusal != nil {
		return nil, refusal
	}
	return nil, refuse(errorPropertyReadOnly, "%s cannot be set", c.body[1])
}

// properties finds the properties of the interface that a call names. The
// standard interfaces have none.
func (s *Server) properties(c call) (properties, *dbus.Error) {
	name := c.body[0].(string)
	object, ok := s.current()[c.path]
	if !ok {
		return nil, refuse(errorUnknownObject, "there is no %s any more", c.path)
	}
	if all, ok := object[name]; ok {
		return all, nil
	}
	switch name {
	case introspectable, propertiesInterface, objectManager:
		return properties{}, nil
	}
	return nil, refuse(errorUnknownInterface, "%s has no interface %.200q", c.path, name)
}

// noOptions refuses the options of a method that knows none: one that is
// silently passed over would promise what nobody keeps.
func noOptions(options any) *dbus.Error {
	for _, name := range slices.Sorted(maps.Keys(options.(map[string]dbus.Variant))) {
		return unknownOption(name)
	}
	return nil
}

func unknownOption(name string) *dbus.Error { return invalidArgs("unknown option %.200q", name) }

// answerTo is the answer to a call that the engine has turned down.
func answerTo(err error) *dbus.Error {
	for _, kind := range []struct {
		err  error
		name string
	}{
		{daemon.ErrNotUnderstood, errorInvalidArgs},
		{daemon.ErrNoSuchJob, errorUnknownObject},
		{daemon.ErrNoSuchDevice, api.ErrorNoSuchDevice},
		{daemon.ErrNoCandidate, api.ErrorNoCandidate},
		{daemon.ErrRefused, api.ErrorRefused},
		{daemon.ErrBusy, api.ErrorBusy},
		{daemon.ErrBackendFailed, api.ErrorBackendFailed},
	} {
		if errors.Is(err, kind.err) {
			return refuse(kind.name, "%v", err)
		}
	}
	return refuse(errorFailed, "%v", err)
}

func invalidArgs(format string, args ...any) *dbus.Error {
	return refuse(errorInvalidArgs, format, args...)
}

// maxError is how long the text of an error is at most, in bytes: it may quote what a
// caller sent.
const maxError = 1000

func refuse(name, format string, args ...any) *dbus.Error {
	message := fmt.Sprintf(format, args...)
	if len(message) > maxError {
		message = message[:maxError-len("...")] + "..."
	}
	return &dbus.Error{Name: name, Body: []any{text(message)}}
}

// errBusy is the answer to a call too many.
var errBusy = refuse(api.ErrorBusy, "too many calls are being answered, or replies unread: try again in a few seconds")
