// SPDX-License-Identifier: Apache-2.0

package bus

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"driverd/api"
	"driverd/daemon"
	"driverd/hwdetect"
)

func (s *Server) install(c call) ([]any, *dbus.Error) {
	q := daemon.Request{Selectors: c.body[0].([]string)}
	options := c.body[1].(map[string]dbus.Variant)
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if name != "download-only" {
			return nil, unknownOption(name)
		}
		only, ok := options[name].Value().(bool)
		if !ok {
			return nil, invalidArgs("the option %q is of type %s: want b", name, options[name].Signature())
		}
		q.DownloadOnly = only
	}
	var refusal *dbus.Error
	if q.Origin, refusal = s.origin(c); refusal != nil {
		return nil, refusal
	}
	number, err := s.engine.Install(s.ctx, q)
	if err != nil {
		return nil, answerTo(err)
	}
	return []any{dbus.ObjectPath(api.JobPath(number))}, nil
}

func (s *Server) plan(c call) ([]any, *dbus.Error) {
	if refusal := noOptions(c.body[1]); refusal != nil {
		return nil, refusal
	}
	uid, refusal := s.user(c)
	if refusal != nil {
		return nil, refusal
	}
	if !s.callers.beginPlan(uid) {
		return nil, refuse(api.ErrorBusy, "a plan is being made for the user with id %d already: try again when it is there", uid)
	}
	defer s.callers.endPlan(uid)
	p, err := s.engine.Plan(s.ctx, c.body[0].([]string))
	if err != nil {
		return nil, answerTo(err)
	}
	return []any{map[string]dbus.Variant{
		"Packages":     dbus.MakeVariant(packages(p.Packages)),
		"DownloadSize": dbus.MakeVariant(uint64(p.DownloadSize)),
		"InstallSize":  dbus.MakeVariant(uint64(p.InstallSize)),
		"Devices":      dbus.MakeVariant(devicePaths(p.Devices)),
	}}, nil
}

func (s *Server) cancel(c call) ([]any, *dbus.Error) {
	if refusal := noOptions(c.body[0]); refusal != nil {
		return nil, refusal
	}
	number, err := strconv.ParseUint(strings.TrimPrefix(string(c.path), api.JobsPath+"/"), 10, 64)
	if err != nil {
		return nil, refuse(errorUnknownObject, "there is no %s", c.path)
	}
	origin, refusal := s.origin(c)
	if refusal != nil {
		return nil, refusal
	}
	if err := s.engine.Cancel(s.ctx, number, origin); err != nil {
		return nil, answerTo(err)
	}
	return nil, nil
}

func jobProperties(j daemon.Job) properties {
	return properties{
		"State":      dbus.MakeVariant(string(j.State)),
		"Phase":      dbus.MakeVariant(string(j.Phase)),
		"Progress":   dbus.MakeVariant(j.Progress),
		"BytesDone":  dbus.MakeVariant(uint64(j.BytesDone)),
		"BytesTotal": dbus.MakeVariant(uint64(j.BytesTotal)),
		"Packages":   dbus.MakeVariant(texts(j.Packages)),
		"Devices":    dbus.MakeVariant(devicePaths(j.Devices)),
		"Reason":     dbus.MakeVariant(string(j.Reason)),
		"Message":    dbus.MakeVariant(text(j.Message)),
	}
}

func devicePaths(slots []hwdetect.Slot) []dbus.ObjectPath {
	paths := []dbus.ObjectPath{}
	for _, slot := range slots {
		paths = append(paths, dbus.ObjectPath(api.DevicePath(slot.String())))
	}
	return paths
}
