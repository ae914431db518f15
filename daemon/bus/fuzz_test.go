// SPDX-License-Identifier: Apache-2.0

package bus_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"driverd/api"
	"driverd/daemon"
)

// FuzzCall calls whatever a client can send: any member of any interface of any
// object, with arguments of any types. The service answers or refuses by a name
// that is documented, and goes on.
func FuzzCall(f *testing.F) {
	f.Add(api.RootPath, api.ManagerInterface, "Install", "zo", "sriov")
	f.Add(api.RootPath, api.ManagerInterface, "Plan", "ae", "kmod(igb.ko)")
	f.Add(api.RootPath, api.ManagerInterface, "Explain", "so", "8086:10c9")
	f.Add(api.RootPath, api.ManagerInterface, "SetMode", "se", "observe")
	f.Add(api.RootPath, api.ManagerInterface, "Rescan", "o", "key")
	f.Add(api.RootPath, properties, "Set", "ssv", api.ManagerInterface)
	f.Add(api.DevicePath("0000:01:00.0"), properties, "GetAll", "s", api.DeviceInterface)
	f.Add(api.RootPath+"/jobs/18446744073709551616", api.JobInterface, "Cancel", "e", "x")
	f.Add("/", "a.b", "C", "", "")
	f.Add(api.RootPath, api.ManagerInterface, "History", "uvpae", "x")

	s := start(f)
	explain := func(what string) (daemon.Explanation, error) {
		return daemon.Explanation{}, errors.New("cannot understand " + what)
	}
	s.engine.explain.Store(&explain)
	f.Fuzz(func(t *testing.T, path, iface, member, kinds, text string) {
		if !dbus.ObjectPath(path).IsValid() || strings.ContainsAny(iface+member, "\x00 ") || len(kinds) > 32 || len(text) > 1<<16 {
			return // the client's own library refuses it
		}
		text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "?")
		call := s.client.Object(api.BusName, dbus.ObjectPath(path)).CallWithContext(t.Context(), iface+"."+member, 0, arguments(kinds, text)...)
		var refusal dbus.Error
		switch {
		case call.Err == nil:
		case !errors.As(call.Err, &refusal):
			return // it was not sent
		case strings.Contains(refusal.Error(), "internal error"):
			t.Errorf("%s.%s has failed: %v", iface, member, refusal)
		case !strings.HasPrefix(refusal.Name, "org.freedesktop.DBus.Error.") && !strings.HasPrefix(refusal.Name, api.BusName+".Error."):
			t.Errorf("%s.%s is refused by %s", iface, member, refusal.Name)
		}
		var version dbus.Variant
		if err := s.client.Object(api.BusName, api.RootPath).CallWithContext(t.Context(), properties+".Get", 0, api.ManagerInterface, "Version").Store(&version); err != nil {
			t.Errorf("after %s.%s: %v", iface, member, err)
		}
	})
}

// arguments are one for each letter that stands for a type, made of text.
func arguments(kinds, text string) []any {
	var all []any
	for _, kind := range kinds {
		switch kind {
		case 's':
			all = append(all, text)
		case 'a':
			all = append(all, strings.Fields(text))
		case 'z':
			all = append(all, []string{})
		case 'e':
			all = append(all, map[string]dbus.Variant{text: dbus.MakeVariant(text)})
		case 'o':
			all = append(all, map[string]dbus.Variant{})
		case 'v':
			all = append(all, dbus.MakeVariant([]string{text}))
		case 'p':
			all = append(all, dbus.ObjectPath(api.RootPath))
		case 'u':
			all = append(all, uint32(len(text)))
		}
	}
	return all
}
